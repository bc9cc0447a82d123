//! What the programs say of themselves: a page of metrics, figures as JSON.

use flotilla_tests::Broker;

/// A page of `/metrics`.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn of(broker: &Broker) -> Self {
        Self(broker.get("/metrics").1)
    }

    /// The sum of the series of this name with this label, `key="value"` or empty.
    pub(crate) fn sum(&self, name: &str, label: &str) -> u64 {
        let of_name =
            |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let mut series = self.0.lines().filter(of_name).peekable();
        assert!(series.peek().is_some(), "there is no metric {name}");
        let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
        series.filter(|line| line.contains(label)).filter_map(value).sum::<f64>() as u64
    }

    /// Of QoS 0, 1 and 2.
    pub(crate) fn by_qos(&self, name: &str) -> [u64; 3] {
        ["0", "1", "2"].map(|qos| self.sum(name, &format!("qos=\"{qos}\"")))
    }
}

/// All numbers behind `"name":`, alone or in brackets, in the order in which they come.
pub(crate) fn numbers(json: &str, name: &str) -> Vec<u64> {
    let key = format!("\"{name}\":");
    let behind = json.split(&key).skip(1);
    let value = |rest: &str| {
        let rest = rest.trim_start();
        let list = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let end = |c: char| matches!(c, ',' | '}' | '\n');
        let text = list.map_or_else(|| rest.split(end).next().unwrap_or_default(), |it| it.0);
        text.split(',')
            .map(|it| it.trim().parse().unwrap_or_else(|_| panic!("{name}: {text}")))
            .collect::<Vec<u64>>()
    };
    behind.flat_map(value).collect()
}

#[test]
fn numbers_stand_alone_or_in_brackets() {
    let json = "{\"one\":1,\"more\": [\n 2,\n 3\n ],\"inner\":{\"one\": 4}}";
    assert_eq!(numbers(json, "one"), [1, 4]);
    assert_eq!(numbers(json, "more"), [2, 3]);
    assert_eq!(numbers(json, "none"), [0; 0]);
}
