//! Letters of transports, in 1/x/7, in 1/x/22 and in the argument of 1/x/8 (lwm2m/10, 10).

use crate::{registration::Enabler, reject::Reject};

/// The only transport there is.
pub(crate) const BINDING: &str = "U";

/// UDP, TCP, MQTT, HTTP, SMS, Non-IP.
const LETTERS: &str = "UTMHSN";

/// 1/x/7, and `b` of a Register; up to 1.0 queue mode stands in it.
pub(super) const fn text(queue_mode: bool, enabler: Enabler) -> &'static str {
    match (queue_mode, enabler) {
        (true, Enabler::V1_0) => "UQ",
        (true, Enabler::V1_1 | Enabler::V1_2) | (false, _) => BINDING,
    }
}

/// What a write of 1/x/7 says of queue mode; `None`: nothing, as it is no part of it since 1.1.
///
/// # Errors
/// 4.00 for letters that are none, that stand twice, or of a transport that this box has not got.
pub(super) fn written(text: &str, enabler: Enabler) -> Result<Option<bool>, Reject> {
    let is_1_0 = enabler == Enabler::V1_0;
    let (letters, queue_mode) = match text.strip_suffix('Q') {
        Some(letters) if is_1_0 => (letters, true),
        Some(_) | None => (text, false),
    };
    for (position, letter) in letters.char_indices() {
        if letters[..position].contains(letter) {
            return Err(Reject::bad_request("a letter of the binding stands twice"));
        }
        check(letter)?;
    }
    if letters.is_empty() {
        return Err(Reject::bad_request("a binding names a transport"));
    }
    Ok(is_1_0.then_some(queue_mode))
}

/// What a bootstrap server says in 1/x/7 of queue mode. It speaks of the server: transports that this
/// box has not got are no reason to refuse it, and servers know UDP whether it is named or not
/// (lwm2m/10, 10).
///
/// # Errors
/// 4.00 for letters that are none, or that stand twice.
pub(super) fn given(text: &str) -> Result<bool, Reject> {
    let letters = text.strip_suffix('Q').unwrap_or(text);
    for (position, letter) in letters.char_indices() {
        if letters[..position].contains(letter) || !LETTERS.contains(letter) {
            return Err(Reject::bad_request(format!("{text} is not a binding")));
        }
    }
    Ok(text.len() > letters.len())
}

/// 1/x/22: one letter.
pub(super) fn transport(text: &str) -> Result<char, Reject> {
    let mut letters = text.chars();
    let (Some(letter), None) = (letters.next(), letters.next()) else {
        return Err(Reject::bad_request("one letter of a transport is wanted"));
    };
    check(letter)?;
    Ok(letter)
}

/// Checks the argument of 1/x/8: none, or `0='U'` (1.1). A transport that this box has not got is
/// not obeyed: the Update goes over the one that carries us (lwm2m/10, 10). Other arguments have no
/// meaning and are passed over.
///
/// # Errors
/// 4.00 where argument 0 is not a letter of a transport.
pub(super) fn check_trigger(args: &[u8]) -> Result<(), Reject> {
    let args = String::from_utf8_lossy(args);
    let mut is_quoted = false;
    let arguments = args.split(|c| {
        is_quoted ^= c == '\'';
        c == ',' && !is_quoted
    });
    for value in arguments.filter_map(|argument| argument.strip_prefix('0')) {
        let letter = value
            .strip_prefix("='")
            .and_then(|value| value.strip_suffix('\''));
        let mut letters = letter.unwrap_or_default().chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) if LETTERS.contains(letter) => {}
            _ => {
                return Err(Reject::bad_request(
                    "argument 0 is the letter of a transport",
                ));
            }
        }
    }
    Ok(())
}

fn check(letter: char) -> Result<(), Reject> {
    if !LETTERS.contains(letter) {
        return Err(Reject::bad_request(format!(
            "{letter} is not the letter of a transport"
        )));
    }
    if !BINDING.contains(letter) {
        return Err(Reject::bad_request(
            "the only transport available in this version is U",
        ));
    }
    Ok(())
}
