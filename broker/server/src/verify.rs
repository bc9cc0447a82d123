//! `flotilla verify`: checks a data directory, tells what is in it, names what is damaged.

use std::{fmt::Write, path::Path, process::ExitCode};

use flotilla_store::{Count, Finding, Report, verify_closed};

use crate::{
    FAILURE,
    ask::{Unanswered, ask},
    print, refuse,
    snapshot::STORE,
};

/// Asks the broker that runs on the directory; checks it itself when none runs.
pub(crate) fn run(data: &Path, is_json: bool) -> ExitCode {
    let tell = |said: &str| eprintln!("{said}");
    let report = match ask(data, "/verify", &[], tell) {
        Ok(report) => serde_json::from_value(report).map_err(|error| error.to_string()),
        Err(Unanswered::Refused(sentence)) => Err(sentence),
        Err(Unanswered::NobodyThere) => {
            let told = |said: &str| {
                tell(said);
                true
            };
            verify_closed(&data.join(STORE), &told).map_err(|error| error.to_string())
        }
    };
    let report: Report = match report {
        Ok(report) => report,
        Err(sentence) => return refuse(FAILURE, &sentence),
    };
    let text = if is_json {
        serde_json::to_string_pretty(&report).map(|text| text + "\n").unwrap_or_default()
    } else {
        page(data, &report)
    };
    let printed = print(&text);
    if report.is_whole() { printed } else { ExitCode::from(FAILURE) }
}

/// For people.
fn page(data: &Path, report: &Report) -> String {
    let mut page = String::new();
    let mut line = |text: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "{text}");
    };
    line(format!("{}, checked in {:.1} s", data.display(), report.seconds));
    line("records".to_owned());
    for (kind, count) in &report.records {
        line(counted(kind, *count));
    }
    for (partition, log) in &report.log {
        let name = if partition.is_empty() { "log" } else { &format!("log {partition}") };
        let of_log = Count { count: log.blocks, bytes: log.bytes };
        line(format!(
            "{}, {} messages",
            counted(&format!("{name} (blocks)"), of_log),
            log.messages
        ));
    }
    line("files".to_owned());
    for (kind, count) in &report.files {
        line(counted(kind, *count));
    }
    for note in &report.notes {
        line(format!("note: {note}"));
    }
    for finding in &report.damaged {
        line(format!("damaged: {}", sentence(finding)));
    }
    let unnamed = report.damaged_count.saturating_sub(report.damaged.len() as u64);
    if unnamed > 0 {
        line(format!("damaged: {unnamed} more"));
    }
    line(match report.damaged_count {
        0 => "nothing is damaged".to_owned(),
        count => format!(
            "{count} damaged; a start sets aside what it can, a damaged list of files or missing \
             table needs a snapshot; check the disk"
        ),
    });
    page
}

fn counted(kind: &str, count: Count) -> String {
    format!("  {kind:28} {:>12} {:>15} bytes", count.count, count.bytes)
}

/// What does not hold, and where.
pub(crate) fn sentence(finding: &Finding) -> String {
    let Finding { kind, key, file, reason } = finding;
    let key = key.as_ref().map(|key| format!(" '{key}'")).unwrap_or_default();
    let file = file.as_ref().map(|file| format!(" in {file}")).unwrap_or_default();
    format!("{kind}{key}{file}: {reason}")
}
