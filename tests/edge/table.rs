//! A table of cases: text with the bytes written out.
//!
//! A case begins with `= its name`. Then `from` its source, other words of its own, the bytes in lines that begin with
//! `> `, and what must come of them in lines that begin with `< `. Bytes are as Rust writes them (`\r`, `\n`, `\t`, `\0`,
//! `\x7f`, `\\`), lines of them follow each other without anything between, and `\{300*x}` stands for 300 of `x`. A line
//! that begins with `#` is for readers.

/// One row.
#[derive(Debug, Default, Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) source: String,
    pub(super) bytes: Vec<u8>,
    /// What must come of them, line by line.
    pub(super) want: Vec<String>,
    /// Words of the table's own, with what follows each.
    pub(super) words: Vec<(String, String)>,
}

impl Case {
    /// What follows a word of the table's own.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        self.words.iter().find(|(word, _)| word == name).map(|(_, rest)| rest.as_str())
    }

    /// Whether it comes from a public suite, an advisory or a paper and not from a reading of the RFCs alone.
    pub(super) fn is_public(&self) -> bool {
        !self.source.starts_with("RFC")
    }
}

/// Reads a table.
pub(super) fn read(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("before the first case: {line}"));
        let (word, rest) = line.trim_start().split_once(' ').unwrap_or((line.trim_start(), ""));
        match word {
            "from" => case.source = rest.to_owned(),
            ">" => case.bytes.extend(unescaped(rest)),
            "<" => case.want.push(rest.to_owned()),
            _ => case.words.push((word.to_owned(), rest.to_owned())),
        }
    }
    for (at, case) in cases.iter().enumerate() {
        assert!(!case.source.is_empty(), "{} has no source", case.name);
        assert!(!case.want.is_empty(), "{} wants nothing", case.name);
        assert!(cases[..at].iter().all(|other| other.name != case.name), "two cases are called {}", case.name);
    }
    cases
}

/// Says how many cases there are and where they come from.
pub(super) fn count(what: &str, cases: &[Case]) {
    let public = cases.iter().filter(|case| case.is_public()).count();
    eprintln!("{what}: {} cases, {public} from public suites and advisories", cases.len());
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let (byte, length): (Vec<u8>, usize) = match rest.as_bytes()[0] {
            b'r' => (vec![b'\r'], 1),
            b'n' => (vec![b'\n'], 1),
            b't' => (vec![b'\t'], 1),
            b'0' => (vec![0], 1),
            b'\\' => (vec![b'\\'], 1),
            b'x' => (vec![u8::from_str_radix(&rest[1..3], 16).unwrap()], 3),
            b'{' => {
                let end = rest.find('}').unwrap();
                let (times, what) = rest[1..end].split_once('*').unwrap();
                (unescaped(what).repeat(times.parse().unwrap()), end + 1)
            }
            other => panic!("\\{} in {text}", char::from(other)),
        };
        out.extend(byte);
        rest = &rest[length..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
