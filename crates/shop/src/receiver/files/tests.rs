use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tempfile::TempDir;

use super::*;

/// An export with one span of this name, as long as it says.
fn export(name: &str) -> ExportTraceServiceRequest {
    let span = Span {
        name: name.to_owned(),
        ..Span::default()
    };
    let scope = ScopeSpans {
        spans: vec![span],
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource],
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

fn writer(folder: &Path) -> Writer {
    let (_, writer) = Files::open(folder).expect("the folder can be written");
    writer
}

fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let kept = read(folder, |export| {
        let spans = &export.resource_spans[0].scope_spans[0].spans;
        names.extend(spans.iter().map(|span| span.name[..1].to_owned()));
    });
    kept.expect("the folder can be read");
    names
}

#[test]
fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
    let folder = folder();
    let mut writer = writer(folder.path());
    let long = usize::try_from(FILE_BYTES).expect("a few megabytes");
    for letter in 'a'..='k' {
        let written = writer.write(&export(&letter.to_string().repeat(long)));
        written.expect("the folder can be written");
    }
    assert_eq!(names(folder.path()).concat(), "defghijk");
    assert_eq!(
        fs::read_dir(folder.path()).expect("it is there").count(),
        KEEP
    );
}

#[test]
fn what_a_crash_cut_off_hides_nothing_else() {
    let folder = folder();
    writer(folder.path())
        .write(&export("a"))
        .expect("it can be written");
    let mut cut = writer(folder.path());
    cut.write(&export("b")).expect("it can be written");
    cut.write(&export("c")).expect("it can be written");
    drop(cut);
    let (_, last) = numbered(folder.path())
        .expect("it is there")
        .pop_last()
        .expect("two files");
    let bytes = fs::read(&last).expect("it is there");
    fs::write(&last, &bytes[..bytes.len() - 1]).expect("it can be written");

    writer(folder.path())
        .write(&export("d"))
        .expect("it can be written");

    assert_eq!(names(folder.path()).concat(), "abd");
}

#[test]
fn exports_that_the_disk_does_not_take_are_dropped_and_counted() {
    let folder = folder();
    let (files, _stuck) = Files::open(folder.path()).expect("the folder can be written");
    for _ in 0..WAITING + 3 {
        files.spans(export("a"));
    }
    assert_eq!(files.dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_only_what_came_meanwhile() {
    let folder = folder();
    let mut writer = writer(folder.path());
    writer.take(&export("a"));
    for _ in 0..20 {
        writer.file = Some(on_a_full_disk(folder.path()));
        writer.take(&export("b"));
    }
    writer.take(&export("c"));
    assert_eq!(names(folder.path()).concat(), "ac");
    let files = fs::read_dir(folder.path()).expect("it is there");
    assert_eq!(files.count(), 2, "those that hold something");
}

/// A full disk takes the name of a file, and nothing that is written to it.
fn on_a_full_disk(folder: &Path) -> Open {
    let full = File::options().append(true).open("/dev/full");
    Open {
        out: BufWriter::new(full.expect("Linux has one")),
        ..next_file(folder).expect("it can be made")
    }
}
