import { defineConfig } from "vitest/config";

/** Tests that measure time: behind all others, so that nothing runs beside them. */
const MEASURING = ["runtime/test/client/backlog.test.ts"];

export default defineConfig({
  test: {
    testTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: {
          name: "tests",
          include: ["{codegen,runtime,conformance}/test/**/*.test.ts", "{scripts,docs}/**/*.test.mjs"],
          exclude: MEASURING,
        },
      },
      { extends: true, test: { name: "measuring", include: MEASURING, sequence: { groupOrder: 1 } } },
    ],
  },
});
