//! A text that is never printed by accident.

use std::fmt;

/// A secret, such as the admin API's token. `Debug` shows `***`; there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it. What compares it with a caller's word takes constant time.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_log_line_is_three_stars() {
        let token = Secret::new("s3cret");
        assert_eq!(format!("{token:?} {:?}", Some(&token)), "*** Some(***)");
        assert_eq!(token.expose(), "s3cret");
    }
}
