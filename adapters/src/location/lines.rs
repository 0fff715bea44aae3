//! Lines of a stream, each of a length that nobody can exceed.

/// Cuts a stream into lines.
#[derive(Debug)]
pub struct Lines {
    line: Vec<u8>,
    most: usize,
    /// The line is too long: its rest is thrown away.
    skips: bool,
}

impl Lines {
    pub const fn new(most: usize) -> Self {
        Self {
            line: Vec::new(),
            most,
            skips: false,
        }
    }

    /// The lines that end in these bytes, without what ends them; too long ones are left out.
    pub fn push(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (rest, ends) = match part.strip_suffix(b"\n") {
                Some(rest) => (rest, true),
                None => (part, false),
            };
            if self.line.len() + rest.len() > self.most {
                self.line.clear();
                self.skips = true;
            } else if !self.skips {
                self.line.extend_from_slice(rest);
            }
            if ends {
                if !self.skips {
                    take(self.line.trim_ascii());
                }
                self.line.clear();
                self.skips = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(most: usize, chunks: &[&str]) -> Vec<String> {
        let mut lines = Lines::new(most);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk.as_bytes(), |line| {
                found.push(String::from_utf8_lossy(line).into_owned());
            });
        }
        found
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        assert_eq!(
            cut(10, &["one\r\ntwo\n", "thr", "ee\nfo"]),
            ["one", "two", "three"]
        );
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory_and_harms_no_other() {
        assert_eq!(
            cut(4, &["abc", "def", "ghi", "\nok\nabcde\nabcd\n"]),
            ["ok", "abcd"]
        );
    }
}
