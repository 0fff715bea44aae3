//! The arguments of an Execute (Core 1.2, 6.3.5): `2='10.3'`, `7,0='https://example.org'`.

use crate::reject::Reject;

/// Longest accepted list; the definitions ask for far less.
const MAX_LENGTH: usize = 1024;

/// Accepts what the grammar allows. A blank inside quotes is not in the grammar but in a published
/// example, so it passes.
///
/// # Errors
/// 4.00 for anything else, also for a digit that stands twice.
pub(super) fn check(args: &[u8]) -> Result<(), Reject> {
    if args.is_empty() {
        return Ok(());
    }
    if args.len() > MAX_LENGTH {
        return Err(Reject::bad_request("the argument list is too long"));
    }
    let mut seen = [false; 10];
    let mut rest = args;
    loop {
        rest = argument(rest, &mut seen)
            .ok_or_else(|| Reject::bad_request("wrong syntax of the arguments"))?;
        match rest {
            [] => return Ok(()),
            [b',', more @ ..] => rest = more,
            _ => return Err(Reject::bad_request("wrong syntax of the arguments")),
        }
    }
}

/// Whether arguments that [`check`] has let through ask for a protection to be overridden. A quote
/// cannot stand within a value, so what looks like this argument is one.
pub(super) fn forces(args: &[u8]) -> bool {
    args.split(|byte| *byte == b',')
        .any(|argument| argument == b"1='force'")
}

/// What follows one argument; `None` where there is none.
fn argument<'a>(text: &'a [u8], seen: &mut [bool; 10]) -> Option<&'a [u8]> {
    let [digit @ b'0'..=b'9', rest @ ..] = text else {
        return None;
    };
    let seen = seen.get_mut(usize::from(digit - b'0'))?;
    if std::mem::replace(seen, true) {
        return None;
    }
    let Some(value) = rest.strip_prefix(b"='") else {
        return Some(rest);
    };
    let end = value.iter().position(|byte| *byte == b'\'')?;
    let allowed = |byte: &u8| matches!(byte, b' ' | b'!' | 0x23..=0x26 | 0x28..=0x5B | 0x5D..=0x7E);
    if !value[..end].iter().all(allowed) {
        return None;
    }
    Some(&value[end + 1..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_examples_pass() {
        for args in [
            "",
            "5",
            "2='10.3'",
            "7,0='https://www.oma.org'",
            "0,1,2,3",
            "1='a b'",
            "0=''",
        ] {
            assert_eq!(check(args.as_bytes()), Ok(()), "{args}");
        }
    }

    #[test]
    fn force_is_one_argument_of_its_own() {
        for (args, expected) in [
            ("1='force'", true),
            ("0,1='force'", true),
            ("1='force',2='3'", true),
            ("", false),
            ("1", false),
            ("2='force'", false),
            ("1='forced'", false),
            ("0='1=force'", false),
        ] {
            assert_eq!(check(args.as_bytes()), Ok(()), "{args}");
            assert_eq!(forces(args.as_bytes()), expected, "{args}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for args in [
            "5,", ",5", "a", "10", "1=2", "1=='2'", "1='2", "1='\"'", "1='\\'", "1,1", "1 ,2",
            "1='ä'",
        ] {
            assert!(check(args.as_bytes()).is_err(), "{args}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(args: Vec<u8>) {
            let _ = check(&args);
        }
    }
}
