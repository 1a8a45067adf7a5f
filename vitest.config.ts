import { defineConfig } from "vitest/config";

/** Tests that measure time: behind all others, so that nothing runs beside them. */
const MEASURING = ["runtime/test/client/backlog.test.ts"];

/** Guides walked from an empty folder to a green `core`: many judgements each, minutes long, so that `npm test` leaves them out. */
const WALKS = ["conformance/test/init/{client,server}-*.test.ts"];

export default defineConfig({
  test: {
    testTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: {
          name: "tests",
          include: ["{codegen,runtime,conformance}/test/**/*.test.ts", "{scripts,docs}/**/*.test.mjs"],
          exclude: [...MEASURING, ...WALKS],
        },
      },
      { extends: true, test: { name: "guides", include: WALKS } },
      { extends: true, test: { name: "measuring", include: MEASURING, sequence: { groupOrder: 1 } } },
    ],
  },
});
