// A backend and an agent of this build, on ports of their own, with their data in a folder of their own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const PASSWORD = "correct horse battery staple";

async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export class Stack {
  static async start(build, source) {
    const stack = new Stack();
    stack.build = build;
    stack.source = source;
    stack.folder = mkdtempSync(join(tmpdir(), "sonde-e2e-"));
    mkdirSync(join(stack.folder, "agent"));
    stack.http = await freePort();
    stack.grpc = await freePort();
    stack.url = `http://127.0.0.1:${stack.http}`;
    stack.children = new Set();
    await stack.startBackend();
    stack.startAgent();
    return stack;
  }

  spawn(name, args, env = {}) {
    const log = createWriteStream(join(this.folder, `${name}.log`), { flags: "a" });
    const child = spawn(join(this.build, name), args, {
      env: { PATH: process.env.PATH, HOME: this.folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    this.children.add(child);
    child.on("exit", () => this.children.delete(child));
    return child;
  }

  async startBackend() {
    this.backend = this.spawn(
      "sonde-backend",
      [
        ...["--store", `sqlite:${join(this.folder, "sonde.db")}`],
        ...["--http-listen", `127.0.0.1:${this.http}`, "--grpc-listen", `127.0.0.1:${this.grpc}`],
        ...["--web-root", join(this.source, "frontend/dist"), "--agent-key-file", join(this.folder, "agent.key")],
      ],
      { SONDE_ADMIN_PASSWORD: PASSWORD },
    );
    for (let i = 0; ; i += 1) {
      const answer = await fetch(`${this.url}/api/health`).catch(() => undefined);
      if (answer?.ok) return;
      if (this.backend.exitCode !== null || i > 200) throw new Error(`the backend did not start:\n${this.log("sonde-backend")}`);
      await sleep(100);
    }
  }

  startAgent() {
    this.agent = this.spawn("sonde-agent", [
      ...["--backend", `127.0.0.1:${this.grpc}`, "--key-file", join(this.folder, "agent.key")],
      ...["--state-dir", join(this.folder, "agent")],
    ]);
  }

  async stopBackend() {
    const gone = once(this.backend, "exit");
    this.backend.kill("SIGTERM");
    await gone;
  }

  async killBackend() {
    const gone = once(this.backend, "exit");
    this.backend.kill("SIGKILL");
    await gone;
  }

  log(name) {
    try {
      return readFileSync(join(this.folder, `${name}.log`), "utf8").slice(-4000);
    } catch {
      return "";
    }
  }

  async stop() {
    for (const child of [...this.children]) {
      child.kill("SIGCONT");
      child.kill("SIGTERM");
      const gone = once(child, "exit");
      if ((await Promise.race([gone.then(() => true), sleep(5000, false)])) === false) {
        child.kill("SIGKILL");
        await gone;
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
