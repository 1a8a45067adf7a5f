import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["{codegen,runtime,conformance}/test/**/*.test.ts", "scripts/**/*.test.mjs"],
    testTimeout: 20_000,
  },
});
