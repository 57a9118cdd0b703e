//! Starting a program behind `shop guard`, so that it ends when this process ends, however.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

use super::{Process, Program, log};

impl Program {
    /// Starts it behind a guard (the `shop` binary) that holds one end of a pipe. When this process
    /// dies, even by SIGKILL, the kernel closes the other end and the guard ends the program.
    pub fn spawn_guarded(&self, shop: &Path) -> Result<Process> {
        let mut command = self.command(shop);
        command
            .args(self.guard_args())
            .arg("--")
            .arg(&self.path)
            .args(&self.args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log::open(&self.log)?);
        let mut guard = command
            .spawn()
            .with_context(|| format!("cannot start {}", shop.display()))?;
        let lifeline = guard.stdin.take();
        let mut line = String::new();
        BufReader::new(guard.stdout.take().context("the guard has no stdout")?)
            .read_line(&mut line)?;
        let Ok(pid) = line.trim().parse() else {
            bail!(
                "{} could not be started; {}",
                self.part,
                log::tail(&self.log)
            );
        };
        self.started(pid, guard, lifeline)
    }

    fn guard_args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["guard".into()];
        args.extend([
            "--stop-signal".into(),
            self.part.stop_signal().as_str().into(),
        ]);
        if let Some(account) = self.account {
            args.extend(["--uid".into(), account.uid.to_string().into()]);
            args.extend(["--gid".into(), account.gid.to_string().into()]);
        }
        args
    }
}
