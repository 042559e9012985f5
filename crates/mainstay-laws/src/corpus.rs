//! A corpus as one file of text: inputs that a fuzzer kept, and those that people wrote down.
//!
//! An input is a line that begins with `> `, its bytes as Rust writes them (`\r`, `\n`, `\t`, `\\`, `\'`, `\"`, `\x7f`); a
//! blank at its end is written `\x20`, so that no editor takes it away. A line `= NAME` before it gives it a name, and one
//! that has a name is never dropped. Lines that begin with `#` and empty lines are for readers.

/// Bytes to play.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What it is known by, where somebody wrote it down.
    pub name: Option<String>,
    /// What is played.
    pub bytes: Vec<u8>,
}

/// Reads a corpus.
///
/// # Errors
/// The first line that is none, by its number.
pub fn read(text: &str) -> Result<Vec<Input>, String> {
    let mut inputs = Vec::new();
    let mut name = None;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(said) = line.strip_prefix("= ") {
            name = Some(said.to_owned());
        } else if let Some(escaped) = line.strip_prefix('>') {
            let escaped = escaped.strip_prefix(' ').unwrap_or(escaped);
            let bytes = unescape(escaped).ok_or_else(|| format!("line {number}: a backslash that means nothing"))?;
            inputs.push(Input { name: name.take(), bytes });
        } else if !line.is_empty() && !line.starts_with('#') {
            return Err(format!("line {number}: it begins with none of `> `, `= ` and `#`"));
        }
    }
    Ok(inputs)
}

/// Writes a corpus, with `about` in its first lines.
#[must_use]
pub fn write(about: &str, inputs: &[Input]) -> String {
    let mut text: String = about.lines().map(|line| format!("# {line}\n")).collect();
    for input in inputs {
        text.extend(input.name.iter().map(|name| format!("= {name}\n")));
        text.push_str(&line(&input.bytes));
    }
    text
}

fn line(bytes: &[u8]) -> String {
    let line = format!("> {}", bytes.escape_ascii());
    match line.strip_suffix(' ') {
        Some(">") => ">\n".to_owned(),
        Some(rest) => format!("{rest}\\x20\n"),
        None => line + "\n",
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b't' => b'\t',
                itself @ (b'\\' | b'\'' | b'"') => itself,
                b'x' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
                _ => return None,
            },
            plain => plain,
        });
    }
    Some(bytes)
}

fn hex(digit: u8) -> Option<u8> {
    u8::try_from(char::from(digit).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let every: Vec<u8> = (0..=255).collect();
        let inputs = [
            Input { name: None, bytes: every },
            Input { name: None, bytes: Vec::new() },
            Input { name: Some("regression-1".to_owned()), bytes: b"# no comment\r\n\r\n> x \\".to_vec() },
            Input { name: None, bytes: b"= no name ".to_vec() },
        ];
        let text = write("Inputs of a test.\nTwo lines.", &inputs);
        assert!(text.starts_with("# Inputs of a test.\n# Two lines.\n> \\x00"), "{text}");
        assert_eq!(read(&text).unwrap(), inputs);
    }

    #[test]
    fn a_line_that_is_none_is_told_by_its_number() {
        assert_eq!(read("> a\n\nb\n").unwrap_err(), "line 3: it begins with none of `> `, `= ` and `#`");
        assert_eq!(read("> \\q").unwrap_err(), "line 1: a backslash that means nothing");
        assert!(read("> \\x0").is_err() && read("> \\").is_err());
    }
}
