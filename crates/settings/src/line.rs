//! Places in a text, as its reader counts them.

/// The line, from 1, of a byte of `text`.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_from_one() {
        let text = "a\nb\r\nc";
        assert_eq!((line_of(text, 0), line_of(text, 2), line_of(text, 5)), (1, 2, 3));
        assert_eq!(line_of(text, usize::MAX), 3);
    }
}
