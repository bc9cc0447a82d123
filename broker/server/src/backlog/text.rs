//! A backlog as people read it.

use std::fmt::Write;

use super::{Going, Holder, Loser, Partition, Plan, Report};

const COLUMNS: [&str; 5] = ["PARTITION", "MESSAGES", "BYTES", "OLDEST", "HELD BY"];

impl Report {
    /// For people.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![COLUMNS.map(String::from)];
        rows.extend(self.partitions.iter().map(Partition::row));
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
        let [a, b, c, d] = [0, 1, 2, 3].map(|column| width(column).unwrap_or(0));
        let mut text = String::new();
        for [name, messages, bytes, oldest, held_by] in &rows {
            let _ =
                writeln!(text, "{name:a$}  {messages:>b$}  {bytes:>c$}  {oldest:>d$}  {held_by}");
        }
        if let Some(plan) = &self.plan {
            text.push('\n');
            self.tell_next(&mut text);
            plan.tell(&mut text);
        }
        text
    }

    fn tell_next(&self, text: &mut String) {
        let mut is_quiet = true;
        for partition in &self.partitions {
            for Going { reason, messages, bytes } in &partition.going {
                is_quiet = false;
                let why = match reason.as_str() {
                    "consumed" => "nobody wants them",
                    "age" => "older than [store] age_max",
                    _ => "the log is larger than [store] disk_bytes_max",
                };
                let (name, bytes) = (partition.name(), size(*bytes));
                let _ = writeln!(text, "next: {messages} messages of {name}, {bytes}: {why}");
            }
        }
        if is_quiet {
            text.push_str("next: nothing goes\n");
        }
    }
}

impl Plan {
    fn tell(&self, text: &mut String) {
        if self.messages > 0 {
            let Self { messages, sessions, .. } = self;
            let _ = writeln!(
                text,
                "{messages} messages would be lost to {sessions} sessions that have not had them:"
            );
            for Loser { client_id, messages } in &self.most {
                let _ = writeln!(text, "  {client_id}: {messages}");
            }
            let more = sessions.saturating_sub(self.most.len() as u64);
            if more > 0 {
                let _ = writeln!(text, "  and {more} sessions more");
            }
        }
        if self.expired > 0 {
            let _ = writeln!(text, "{} that sessions have not had have expired", self.expired);
        }
        if self.unread_blocks > 0 {
            let _ = writeln!(
                text,
                "{} blocks of it cannot be read, so nobody knows whose they are: run `flotilla verify`",
                self.unread_blocks
            );
        }
    }
}

impl Partition {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("(others)")
    }

    fn row(&self) -> [String; COLUMNS.len()] {
        let held_by = match &self.held_by {
            None => "nobody".to_owned(),
            Some(Holder { client_id, cursor, away_seconds: None }) => {
                format!("{client_id} at {cursor}, connected")
            }
            Some(Holder { client_id, cursor, away_seconds: Some(away) }) => {
                format!("{client_id} at {cursor}, away for {}", age(*away))
            }
        };
        let oldest = self.oldest_age_seconds.map_or_else(|| "-".to_owned(), age);
        [self.name().to_owned(), self.messages.to_string(), size(self.bytes), oldest, held_by]
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// In its two largest units.
fn age(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{minutes}m"),
        _ => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use flotilla_core::{id::ClientId, id::Position, mail::Overtaken};
    use flotilla_store::{Backlog, Loss, Lowest, PartitionBacklog, Taken};

    use super::*;

    #[test]
    fn a_report_for_people_and_for_scripts() {
        let lowest = |at_ms| Lowest {
            client_id: ClientId::from("device-7"),
            position: Position(12),
            disconnected_at_ms: at_ms,
        };
        let partition = |name: Option<&str>, lowest, aged| PartitionBacklog {
            name: name.map(Box::from),
            messages: 1_234,
            bytes: 5 << 20,
            oldest_ms: Some(1_000),
            lowest,
            going: [Taken::default(), Taken { messages: aged, bytes: 2048 }, Taken::default()],
        };
        let mut backlog = Backlog {
            unix_ms: 3_000_000_000,
            partitions: vec![
                partition(None, None, 0),
                partition(Some("telemetry"), Some(lowest(Some(1_000))), 77),
                partition(Some("cmd"), Some(lowest(None)), 0),
            ],
            plan: None,
        };
        let report = Report::from(backlog.clone());
        let text = report.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "PARTITION  MESSAGES    BYTES  OLDEST  HELD BY");
        assert_eq!(lines[1], "(others)       1234  5.0 MiB  34d17h  nobody");
        let away = "telemetry      1234  5.0 MiB  34d17h  device-7 at 12, away for 34d17h";
        assert_eq!(lines[2], away);
        assert_eq!(lines[3], "cmd            1234  5.0 MiB  34d17h  device-7 at 12, connected");
        let read: Report = serde_json::from_value(serde_json::json!(report)).unwrap();
        assert_eq!(read, report);

        let client_id = ClientId::from("device-7");
        let most = vec![Overtaken { client_id, messages: 70, expired: 1 }];
        let plan = Loss { sessions: 3, messages: 90, expired: 4, most, unread_blocks: 1 };
        backlog.plan = Some(plan);
        let text = Report::from(backlog).text();
        for line in [
            "next: 77 messages of telemetry, 2.0 KiB: older than [store] age_max",
            "90 messages would be lost to 3 sessions that have not had them:",
            "  device-7: 70",
            "  and 2 sessions more",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn sizes_and_ages() {
        assert_eq!([0, 1 << 20, 3 << 39].map(size), ["0.0 KiB", "1.0 MiB", "1.5 TiB"]);
        assert_eq!([59, 61, 3_700, 90_000].map(age), ["59s", "1m1s", "1h1m", "1d1h"]);
    }
}
