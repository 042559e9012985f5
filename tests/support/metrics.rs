//! The figures of `/metrics`, read as Prometheus text.

use std::net::SocketAddr;

use super::http;

/// All samples of one reading.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(Vec<(String, f64)>);

impl Metrics {
    /// Reads them.
    #[track_caller]
    pub(crate) fn scrape(admin: SocketAddr) -> Self {
        let answer = http::get(admin, "/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        Self(answer.body.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    /// The sum of all series of `name` that have every one of these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let of_name = self.0.iter().filter(|(series, _)| series.split('{').next() == Some(name));
        of_name
            .filter(|(series, _)| labels.iter().all(|label| series.contains(label)))
            .fold(0.0, |sum, (_, value)| sum + value)
    }
}

fn sample(line: &str) -> Option<(String, f64)> {
    let end = line.rfind('}').map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
    let (series, value) = line.split_at(end);
    Some((series.to_owned(), value.split_whitespace().next()?.parse().ok()?))
}
