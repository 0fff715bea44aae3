//! Questions to a person at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use nix::sys::termios::{self, LocalFlags, SetArg};
use zeroize::Zeroizing;

use super::exit::Failure;

/// Longer than any answer or secret.
const MAX_BYTES: u64 = 64 << 10;

pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// The answer to a question, or what was offered as default. Questions go to stderr.
pub(super) fn ask(question: &str, default: Option<&str>) -> Result<String, Failure> {
    loop {
        let mut err = io::stderr();
        match default {
            Some(default) => write!(err, "{question} [{default}]: ")?,
            None => write!(err, "{question}: ")?,
        }
        err.flush()?;
        let mut line = String::new();
        if io::stdin().lock().take(MAX_BYTES).read_line(&mut line)? == 0 {
            return Err(Failure::usage("no answer"));
        }
        let answer = line.trim();
        match (answer.is_empty(), default) {
            (false, _) => return Ok(answer.to_owned()),
            (true, Some(default)) => return Ok(default.to_owned()),
            (true, None) => (),
        }
    }
}

/// A secret: from a terminal one line without echo, otherwise all of standard input.
pub(super) fn secret(question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let stdin = io::stdin();
    let mut content = Zeroizing::new(Vec::new());
    if !stdin.is_terminal() {
        stdin.lock().take(MAX_BYTES + 1).read_to_end(&mut content)?;
        return Ok(content);
    }
    let mut err = io::stderr();
    write!(err, "{question}: ")?;
    err.flush()?;
    let shown = termios::tcgetattr(&stdin).map_err(io::Error::from)?;
    let mut hidden = shown.clone();
    hidden.local_flags.remove(LocalFlags::ECHO);
    termios::tcsetattr(&stdin, SetArg::TCSANOW, &hidden).map_err(io::Error::from)?;
    let mut line = String::new();
    let read = stdin.lock().take(MAX_BYTES + 1).read_line(&mut line);
    termios::tcsetattr(&stdin, SetArg::TCSANOW, &shown).map_err(io::Error::from)?;
    writeln!(err)?;
    read?;
    Ok(Zeroizing::new(line.into_bytes()))
}
