use super::{Options, migrate, pool};
use crate::Stop;
use std::{fs, net::TcpListener, time::Duration};
use tokio::time;

fn options(url: Option<&str>, file: Option<&str>) -> Options {
    Options {
        database_url: url.map(str::to_owned),
        database_url_file: file.map(Into::into),
        database_connections: 8,
    }
}

fn refusal(options: &Options) -> String {
    let error = options.url().expect_err("these options are impossible");
    format!("{error:#}")
}

#[test]
fn the_password_is_not_printed() {
    let printed = format!("{:?}", options(Some("postgres://me:secret@host/db"), None));
    assert!(!printed.contains("secret"), "{printed}");
}

#[test]
fn a_url_file_may_end_with_a_newline() {
    let path = std::env::temp_dir().join(format!("database-url-{}", std::process::id()));
    fs::write(&path, "postgres://me@host/db\n").expect("the file can be written");
    let url = options(None, path.to_str())
        .url()
        .expect("the file is there");
    fs::remove_file(&path).expect("it was written");
    assert_eq!(url, "postgres://me@host/db");
}

#[test]
fn no_url_and_two_urls_are_refused_saying_what_to_do() {
    assert!(refusal(&options(None, None)).contains("set DATABASE_URL or DATABASE_URL_FILE"));
    let two = refusal(&options(Some("postgres://a/b"), Some("/run/secrets/url")));
    assert!(two.contains("set one"), "{two}");
    let missing = refusal(&options(None, Some("/nowhere/url")));
    assert!(missing.contains("/nowhere/url"), "{missing}");
}

#[tokio::test]
async fn a_stop_ends_the_wait_for_a_database_that_is_away() {
    // Bound and dropped: nobody listens on this port.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port")
        .port();
    let url = format!("postgres://me@127.0.0.1:{port}/db");
    let pool = pool(&options(Some(&url), None), "test").expect("the URL is valid");
    let migrator = sqlx::migrate::Migrator::with_migrations(Vec::new());
    let stop = Stop::new();
    let mut migrating = std::pin::pin!(migrate(&pool, &migrator, &stop));
    let early = time::timeout(Duration::from_millis(700), &mut migrating).await;
    assert!(early.is_err(), "it waits: {early:?}");
    stop.cancel();
    migrating.await.expect("a stop is not an error");
}
