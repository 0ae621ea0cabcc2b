import { useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { ApiError, login } from "../api/rest";
import { useSession } from "../api/session";
import { Logo } from "../components/icons";
import { ThemeButton } from "../components/Shell";
import { sentence } from "../lib/words";

export function LoginPage() {
  const router = useRouter();
  const { next } = useSearch({ from: "/login" });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string>();
  const password = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = "Log in · Sonde";
  }, []);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setBusy(true);
    setError(undefined);
    try {
      await login(String(form.get("username") ?? ""), String(form.get("password") ?? ""));
      useSession.setState({ status: "in" });
      router.history.replace(next ?? "/hosts");
    } catch (failure) {
      setError(
        failure instanceof ApiError ? sentence(failure.message) : "Something went wrong in this page. Reload it.",
      );
      setBusy(false);
      password.current?.select();
    }
  };

  return (
    <main className="login">
      <form onSubmit={submit} aria-labelledby="login-title">
        <div style={{ display: "flex", justifyContent: "space-between", alignItems: "center" }}>
          <span className="brand">
            <Logo size={30} /> Sonde
          </span>
          <ThemeButton />
        </div>
        <h1 id="login-title">Log in</h1>
        <div className="field">
          <label htmlFor="username">User name</label>
          <input
            className="input"
            id="username"
            name="username"
            data-testid="login-username"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            required
          />
        </div>
        <div className="field">
          <label htmlFor="password">Password</label>
          <input
            className="input"
            id="password"
            name="password"
            type="password"
            data-testid="login-password"
            autoComplete="current-password"
            ref={password}
            required
            aria-invalid={error !== undefined}
            aria-describedby={error === undefined ? undefined : "login-error"}
          />
        </div>
        {error !== undefined && (
          <p className="form-error" id="login-error" role="alert" data-testid="login-error">
            {error}
          </p>
        )}
        <button type="submit" className="button primary" data-testid="login-submit" disabled={busy}>
          {busy ? "Logging in…" : "Log in"}
        </button>
      </form>
    </main>
  );
}
