//! Decides which one path a request is about, before any route looks at it.
//!
//! In: the path as it came. Out: the canonical path, by which routes match **and** which is sent upstream, or a reason
//! to answer 400. One path for both is the invariant: two parties that read the same bytes differently are how a
//! request slips past a rule (path confusion).
//!
//! The canonical form is that of RFC 3986, section 6.2.2: triplets of unreserved characters are decoded, the others
//! have capital digits, dot segments are gone. Runs of slashes become one. What servers are known to read in different
//! ways has no canonical form and is refused: an encoded slash, a backslash plain or encoded, a NUL, `..;` as a
//! segment, its semicolon plain or encoded. Normalising twice is the same as normalising once, and an ordinary path
//! passes without being copied.

/// Why a path has no meaning that everybody agrees on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BadPath {
    /// It does not begin with a slash.
    NotAbsolute,
    /// A percent sign without two hexadecimal digits.
    Triplet,
    /// `%2F`: some servers split there and some do not.
    EncodedSlash,
    /// A backslash, plain or as `%5C`: some servers take it for a slash.
    Backslash,
    /// `%00`: some servers end there.
    Nul,
    /// `.;` or `..;`, plain or as `%3B`, begins a segment: some servers drop what follows the semicolon and then walk up.
    DotParameter,
    /// A byte that no URI has: a control character, a space, `#`, or beyond ASCII.
    Byte,
}

impl BadPath {
    /// What the caller is told.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotAbsolute => "The path does not begin with a slash.",
            Self::Triplet => "The path has a percent sign that is not followed by two hexadecimal digits.",
            Self::EncodedSlash => "The path has an encoded slash, which servers read in different ways.",
            Self::Backslash => "The path has a backslash, which servers read in different ways.",
            Self::Nul => "The path has an encoded NUL.",
            Self::DotParameter => "The path has a dot segment with a parameter, which servers read in different ways.",
            Self::Byte => "The path has a byte that no URI may have.",
        }
    }
}

/// The canonical form of `path`, which is a slice of either `path` or `scratch`.
///
/// An empty path is `/` (RFC 9110, section 4.2.3), and `*` stands for itself (section 7.1).
///
/// # Errors
/// [`BadPath`] when it has none.
pub(crate) fn normalise<'a>(path: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], BadPath> {
    if path.is_empty() {
        return Ok(b"/");
    }
    if path == b"*" {
        return Ok(path);
    }
    if path[0] != b'/' {
        return Err(BadPath::NotAbsolute);
    }
    if is_canonical(path) {
        return Ok(path);
    }
    decode(path, scratch)?;
    walk(scratch)?;
    Ok(scratch)
}

/// Whether nothing at all is to be done. Written without branches in its loops, so that they become vector code.
fn is_canonical(path: &[u8]) -> bool {
    let odd_byte = path.iter().fold(false, |odd, &b| {
        odd | (b <= b' ') | (b >= 0x7f) | (b == b'%') | (b == b'\\') | (b == b'#') | (b == b'?')
    });
    let odd_pair =
        path.iter().zip(&path[1..]).fold(false, |odd, (&a, &b)| odd | ((a == b'/') & ((b == b'/') | (b == b'.'))));
    !odd_byte && !odd_pair
}

/// Triplets first, because `%2e%2e` is a dot segment too. No decoded byte can begin a triplet, so once is enough.
fn decode(path: &[u8], out: &mut Vec<u8>) -> Result<(), BadPath> {
    out.clear();
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match *byte {
            b'%' => {
                let [high, low, tail @ ..] = rest else { return Err(BadPath::Triplet) };
                push_triplet(*high, *low, out)?;
                rest = tail;
            }
            b'\\' => return Err(BadPath::Backslash),
            0..=b' ' | 0x7f.. | b'#' | b'?' => return Err(BadPath::Byte),
            plain => out.push(plain),
        }
    }
    Ok(())
}

fn push_triplet(high: u8, low: u8, out: &mut Vec<u8>) -> Result<(), BadPath> {
    match (hex(high).ok_or(BadPath::Triplet)? << 4) | hex(low).ok_or(BadPath::Triplet)? {
        0 => Err(BadPath::Nul),
        b'/' => Err(BadPath::EncodedSlash),
        b'\\' => Err(BadPath::Backslash),
        byte if is_unreserved(byte) => {
            out.push(byte);
            Ok(())
        }
        _ => {
            out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]);
            Ok(())
        }
    }
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Removes empty and dot segments in place (RFC 3986, section 5.2.4): what is kept never gets ahead of what is read.
fn walk(path: &mut Vec<u8>) -> Result<(), BadPath> {
    let (mut read, mut kept) = (0, 0);
    while read < path.len() {
        // path[read] is a slash; the segment lies between it and the next.
        let start = read + 1;
        let end = memchr::memchr(b'/', &path[start..]).map_or(path.len(), |at| start + at);
        let last = end == path.len();
        match &path[start..end] {
            b"" | b"." => kept = keep_slash(path, kept, last),
            b".." => {
                kept = memchr::memrchr(b'/', &path[..kept]).unwrap_or(0);
                kept = keep_slash(path, kept, last);
            }
            [b'.', rest @ ..] if is_parameter(rest.strip_prefix(b".").unwrap_or(rest)) => {
                return Err(BadPath::DotParameter);
            }
            _ => {
                path.copy_within(read..end, kept);
                kept += end - read;
            }
        }
        read = end;
    }
    path.truncate(kept);
    Ok(())
}

/// Whether a parameter begins here, for a server that looks at parameters before it decodes or after.
fn is_parameter(rest: &[u8]) -> bool {
    rest.starts_with(b";") || rest.starts_with(b"%3B")
}

/// A segment that vanishes leaves its slash behind only at the end: `/a/.` is `/a/`.
fn keep_slash(path: &mut [u8], kept: usize, last: bool) -> usize {
    if last {
        path[kept] = b'/';
        return kept + 1;
    }
    kept
}

#[cfg(test)]
mod tests {
    use mainstay_core::{Purpose, Seed, below};

    use super::*;

    fn check(path: &str, want: Result<&str, BadPath>) {
        let mut scratch = b"left over".to_vec();
        assert_eq!(normalise(path.as_bytes(), &mut scratch), want.map(str::as_bytes), "{path}");
    }

    #[test]
    fn ordinary_paths_pass_as_they_are() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.c",
            "/a/b..c",
            "/a/.../",
            "/a/...;v=1",
            "/a.",
            "/a..",
            "/a;v=1/b",
            "/~user/x-y_z",
            "/a:b@c!$&'()*+,=",
            "*",
        ] {
            check(path, Ok(path));
        }
        let path = b"/api/v1/orders/42";
        assert!(std::ptr::eq(normalise(path, &mut Vec::new()).unwrap(), &path[..]), "an ordinary path is not copied");
    }

    #[test]
    fn spellings_of_one_path_become_one() {
        for (path, want) in [
            ("", "/"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/../b", "/b"),
            ("/a/b/../../c", "/c"),
            ("/..", "/"),
            ("/../..//x", "/x"),
            ("//", "/"),
            ("//a", "/a"),
            ("/a//b///c//", "/a/b/c/"),
            ("/a//../b", "/b"),
            ("/%61dmin", "/admin"),
            ("/%7euser", "/~user"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e", "/"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/a%20b%3Fc%23d%25", "/a%20b%3Fc%23d%25"),
            ("/%25%32%65%32%65", "/%252e2e"),
            ("/.hidden/x", "/.hidden/x"),
            ("/..a/...", "/..a/..."),
        ] {
            check(path, Ok(want));
        }
    }

    #[test]
    fn what_servers_read_in_different_ways_is_refused() {
        for (path, want) in [
            ("a", BadPath::NotAbsolute),
            ("*/a", BadPath::NotAbsolute),
            ("/%", BadPath::Triplet),
            ("/%4", BadPath::Triplet),
            ("/%zz", BadPath::Triplet),
            ("/%+1", BadPath::Triplet),
            ("/a%2fb", BadPath::EncodedSlash),
            ("/a/..%2F..%2Fetc", BadPath::EncodedSlash),
            ("/a\\b", BadPath::Backslash),
            ("/a/..%5c", BadPath::Backslash),
            ("/a%00.png", BadPath::Nul),
            ("/a/..;/manager", BadPath::DotParameter),
            ("/a/%2e%2e;x=1/manager", BadPath::DotParameter),
            ("/a/.;/b", BadPath::DotParameter),
            ("/a/..%3b/manager", BadPath::DotParameter),
            ("/a/%2E%3Bx/manager", BadPath::DotParameter),
            ("/a b", BadPath::Byte),
            ("/a#b", BadPath::Byte),
            ("/a\tb", BadPath::Byte),
            ("/caf\u{e9}", BadPath::Byte),
        ] {
            check(path, Err(want));
        }
    }

    #[test]
    fn normalising_twice_is_normalising_once() {
        const PARTS: [&str; 12] = ["/", "/", ".", "..", "a", "bc", "%2e", "%41", "%C3", "%25", "2e", ";"];
        let seed = Seed::new(7);
        for case in 0..20_000 {
            let path = (0..10).fold(String::from("/"), |path, at| {
                path + PARTS[below(seed.draw(case, at, Purpose::ChoiceA), PARTS.len() as u64) as usize]
            });
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let Ok(once) = normalise(path.as_bytes(), &mut first) else { continue };
            assert!(once.starts_with(b"/"), "{path}");
            assert!(!once.split(|b| *b == b'/').any(|segment| segment == b"." || segment == b".."), "{path}");
            assert_eq!(normalise(once, &mut second), Ok(once), "{path}");
        }
    }
}
