use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use shop::process::Identity;

fn guard(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
    command
        .arg("guard")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().expect("the launcher is built")
}

fn guarded(guard: &mut Child) -> Identity {
    let mut line = String::new();
    let stdout = guard.stdout.as_mut().expect("it is piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the guard speaks UTF-8");
    Identity::of(line.trim().parse().expect("the first line is a pid")).expect("it runs")
}

/// The next line of the guarded program, which writes to the guard's stderr.
fn said(guard: &mut Child) -> String {
    let mut line = String::new();
    let stderr = guard.stderr.as_mut().expect("it is piped");
    BufReader::new(stderr)
        .read_line(&mut line)
        .expect("the program speaks UTF-8");
    line
}

#[test]
fn a_guarded_program_dies_with_its_parent_and_its_folder_goes() {
    let folder = tempfile::tempdir()
        .expect("a temporary folder can be made")
        .keep();
    fs::write(folder.join("data"), "").expect("the folder can be written");
    let mut guard = guard(&["--remove", &folder.to_string_lossy(), "--", "sleep", "60"]);
    let sleeper = guarded(&mut guard);
    assert!(sleeper.is_alive());

    // The kernel does the same to the pipe of a parent that gets SIGKILL.
    drop(guard.stdin.take());
    guard.wait().expect("it is ours");

    assert!(!sleeper.is_alive());
    assert!(!folder.exists());
}

#[test]
fn a_guarded_program_that_ignores_the_signal_is_killed() {
    let stubborn = "trap '' TERM; echo deaf; while true; do sleep 0.1; done";
    let mut guard = guard(&["--", "sh", "-c", stubborn]);
    let sleeper = guarded(&mut guard);
    assert_eq!(said(&mut guard), "deaf\n", "before that it would obey");

    drop(guard.stdin.take());
    let asked = Instant::now();
    let status = guard.wait().expect("it is ours");

    assert_eq!(status.code(), Some(128 + Signal::SIGKILL as i32));
    assert!(!sleeper.is_alive());
    assert!(asked.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_guard_ends_with_the_exit_code_of_its_program() {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137)] {
        let mut guard = guard(&["--", "sh", "-c", script]);
        // Kept open: `wait` closes stdin first.
        let _parent = guard.stdin.take();
        let status = guard.wait().expect("it is ours");
        assert_eq!(status.code(), Some(code), "{script}");
    }
}
