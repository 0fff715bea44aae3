//! What a DLMS meter answers.

use lamplighter_adapters::dlms::{Dialogue, Key, Security, Wanted};

use crate::input::Input;

/// More is no conversation.
const ANSWERS_MAX: usize = 64;

/// One answer after the other, to whatever is asked.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let security = if input.is_set() {
        Security::Gmac {
            encryption_key: Key::new(&[1; 16]).expect("it has 16 bytes"),
            authentication_key: Key::new(&[2; 16]).expect("it has 16 bytes"),
            system_title: *b"LMPfuzz1",
        }
    } else {
        Security::None
    };
    let wanted = [(3, 2), (1, 2), (5, 3), (8, 2)].map(|(class, attribute)| Wanted {
        class,
        name: [1, 0, 1, 8, 0, 255],
        attribute,
    });
    let count = wanted.len();
    let Ok(mut dialogue) = Dialogue::new(1, &security, 1, wanted.into()) else {
        return;
    };
    for _ in 0..ANSWERS_MAX {
        match dialogue.say() {
            Ok(Some(said)) => assert!(!said.is_empty()),
            Ok(None) => break,
            Err(failure) => return assert!(!failure.to_string().is_empty()),
        }
        if let Err(failure) = dialogue.heard(input.piece()) {
            return assert!(!failure.to_string().is_empty());
        }
    }
    let is_read = dialogue.is_read();
    let told = dialogue.into_told();
    assert!(told.len() <= count && (!is_read || told.len() == count));
}
