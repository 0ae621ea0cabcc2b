import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// A backend to develop against: SONDE_URL=http://127.0.0.1:8000 npm run dev
const backend = process.env.SONDE_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  build: { target: "es2022", sourcemap: false, chunkSizeWarningLimit: 700 },
  server: {
    proxy: {
      "/api": { target: backend, ws: true },
      "/token": backend,
    },
  },
  test: { environment: "node", include: ["src/**/*.test.ts"] },
});
