//! The figures for people and for programs, and whether they are as they must be.

use serde_json::{Value, json};

use super::Fault;
use super::books::Books;

/// Of a thousand GETs, so many must be good.
const GOOD_OF_THOUSAND: u64 = 999;

/// What came of one fault.
pub(super) struct Played {
    pub(super) fault: Fault,
    pub(super) load: Value,
    pub(super) log: Vec<Value>,
    pub(super) books: Books,
}

impl Played {
    fn count(&self, method: &str) -> (u64, u64) {
        let of = |what: &str| self.load["methods"][method][what].as_u64().unwrap_or(0);
        (of("requests"), of("good"))
    }

    fn requests(&self) -> u64 {
        self.load["requests"].as_u64().unwrap_or(0)
    }

    /// Whether all that must hold does.
    pub(super) fn held(&self) -> bool {
        self.problems().is_empty()
    }

    /// What does not hold, each as a sentence.
    fn problems(&self) -> Vec<String> {
        let mut problems = self.books.problems.clone();
        let (gets, good) = self.count("GET");
        if gets == 0 || good * 1000 < gets * GOOD_OF_THOUSAND {
            problems.push(format!("{good} of {gets} GETs are good"));
        }
        if self.log.len() as u64 != self.requests() {
            problems.push(format!("{} lines in the access log of {} requests", self.log.len(), self.requests()));
        }
        problems
    }

    /// The bad requests of a method, each with what the log says of it.
    fn bad(&self, method: &str) -> Vec<String> {
        let failures = self.load["failures"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of_method = failures.iter().filter(|failure| failure["method"] == method);
        of_method.map(|failure| self.reason(failure)).collect()
    }

    fn reason(&self, failure: &Value) -> String {
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let (id, end) = (word(&failure["id"]), word(&failure["end"]));
        let due = failure["due_ms"].as_f64().unwrap_or(0.0) / 1000.0;
        let line = self.log.iter().find(|line| line["request_id"] == failure["id"]);
        let Some(line) = line else { return format!("{id}, due at {due:.2} s: {end}; not in the log") };
        let tries = line["tries"].as_array().map(Vec::as_slice).unwrap_or_default();
        let tried: Vec<String> = tries.iter().map(describe).collect();
        let tried = if tried.is_empty() { "no failed attempt".to_owned() } else { tried.join("; ") };
        format!("{id}, due at {due:.2} s: {end}; log: {} ({tried})", word(&line["end"]))
    }

    fn open(&self) -> Vec<String> {
        let word = |arrived| if arrived { "read" } else { "never read" };
        self.books.open.iter().map(|open| format!("{}; {}", open.attempt, word(open.arrived))).collect()
    }

    fn percent(&self, method: &str) -> f64 {
        let (requests, good) = self.count(method);
        good as f64 * 100.0 / requests.max(1) as f64
    }
}

fn describe(tried: &Value) -> String {
    let word = |name: &str| tried[name].as_str().unwrap_or("-").to_owned();
    let lasted = tried["ended_ms"].as_f64().unwrap_or(0.0) - tried["began_ms"].as_f64().unwrap_or(0.0);
    format!("{}, {} after {lasted:.1} ms at {}", word("result"), word("certainty"), word("endpoint"))
}

/// A table that can be pasted into a page, and under it whatever is listed one by one.
pub(super) fn print(rate: u32, all: &[Played]) {
    println!("{rate} requests/s for 20 s, one of four instances broken from second 5 to 15; good: right within 2 s.\n");
    println!(
        "| Fault | GETs good | POSTs good | POSTs read twice | Attempts: log = metrics | Written = lines read + never \
         read | Open while down | p99 |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for played in all {
        println!("{}", row(played));
    }
    for played in all {
        list(played, "GETs that were not good", &played.bad("GET"));
        list(played, "POSTs that were not good", &played.bad("POST"));
        list(played, "attempts open on the instance while it was down", &played.open());
        list(played, "what does not hold", &played.problems());
    }
}

fn row(played: &Played) -> String {
    let books = &played.books;
    let sign = |equal| if equal { "=" } else { "≠" };
    let ((gets, good_gets), (posts, good_posts)) = (played.count("GET"), played.count("POST"));
    let lost = books.without_line() as u64;
    format!(
        "| {} | {:.3} % ({good_gets} of {gets}) | {:.2} % ({good_posts} of {posts}) | {} | {} {} {} | {} {} {} + {lost} \
         | {} | {:.0} ms |",
        played.fault.as_str(),
        played.percent("GET"),
        played.percent("POST"),
        books.posts_twice.len(),
        books.logged,
        sign(books.logged == books.counted),
        books.counted,
        books.written,
        sign(books.written == books.arrived + lost),
        books.arrived,
        books.open.len(),
        played.load["p99_ms"].as_f64().unwrap_or(f64::NAN),
    )
}

fn list(played: &Played, what: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    println!("\n{}: {what} ({}):\n", played.fault.as_str(), items.len());
    for item in items {
        println!("- {item}");
    }
}

/// The same as JSON.
pub(super) fn json(rate: u32, all: &[Played]) {
    let faults = all.iter().map(|played| {
        let books = &played.books;
        let ((gets, good_gets), (posts, good_posts)) = (played.count("GET"), played.count("POST"));
        json!({
            "fault": played.fault.as_str(),
            "held": played.held(),
            "gets": { "requests": gets, "good": good_gets, "bad": played.bad("GET") },
            "posts": { "requests": posts, "good": good_posts, "bad": played.bad("POST") },
            "posts_read_twice": books.posts_twice,
            "attempts_in_log": books.logged,
            "attempts_in_metrics": books.counted,
            "attempts_written": books.written,
            "lines_of_instances": books.arrived,
            "open_while_down": played.open(),
            "open_while_down_never_read": books.without_line(),
            "problems": played.problems(),
            "p50_ms": played.load["p50_ms"],
            "p99_ms": played.load["p99_ms"],
        })
    });
    println!("{:#}", json!({ "rate_per_second": rate, "faults": faults.collect::<Vec<_>>() }));
}
