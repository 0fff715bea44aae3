//! Keys of the contract whose behaviour is not built in this version. They are refused by name,
//! never accepted and ignored. What gets built leaves this list and enters the schema.

use std::collections::BTreeSet;

use figment::value::Value;

use super::{
    extract::Misfit,
    layer::{Key, Layers},
};

/// What part of a key is refused.
enum Refused {
    /// The key, whatever its value is.
    Always,
    /// These words, or texts that begin with one of them and `:`.
    Words(&'static [&'static str]),
}

/// Dotted keys; `*` stands for any name. What is refused is left out of the rest of the check.
const NOT_BUILT: &[(&str, Refused)] = &[
    ("bootstrap.coap.default_leisure_s", Refused::Always),
    ("bootstrap.coap.probing_rate_bytes_s", Refused::Always),
    (
        "bootstrap.security.mode",
        Refused::Words(&["est", "oscore", "rpk"]),
    ),
    ("bus.*.kind", Refused::Words(&["ascii", "udp"])),
    ("server.*.coap.default_leisure_s", Refused::Always),
    ("server.*.coap.probing_rate_bytes_s", Refused::Always),
    ("server.*.expose", Refused::Words(&["endpoint", "prefix"])),
    (
        "server.*.security.mode",
        Refused::Words(&["est", "oscore", "rpk"]),
    ),
];

/// The text of every refusal.
pub const NOT_AVAILABLE: &str = "not available in this version";

/// What is refused, and the keys to be left out of the rest of the check.
pub(super) fn refused(layers: &Layers) -> (Vec<Misfit>, BTreeSet<Key>) {
    let mut misfits = Vec::new();
    let mut hidden = BTreeSet::new();
    for (pattern, refused) in NOT_BUILT {
        let names: Vec<&str> = pattern.split('.').collect();
        for (key, value) in matches(&layers.root, &names, Key::new()) {
            let Some(word) = refused.word(value) else {
                continue;
            };
            let name = key.last().map_or("", String::as_str);
            let what = match word {
                Some(word) => format!("`{name} = {word}`: {NOT_AVAILABLE}"),
                None => format!("`{name}`: {NOT_AVAILABLE}"),
            };
            misfits.push(Misfit {
                key: key.clone(),
                what,
                hint: None,
            });
            hidden.insert(left_out(&names, key));
        }
    }
    (misfits, hidden)
}

impl Refused {
    /// Whether a value is refused, and the word where only some are.
    fn word(&self, value: &Value) -> Option<Option<String>> {
        match self {
            Self::Always => Some(None),
            Self::Words(words) => {
                let text = value.as_str()?;
                let word = text.split(':').next().unwrap_or(text);
                words.contains(&word).then(|| Some(format!("\"{text}\"")))
            }
        }
    }
}

/// The kind of a device decides what its other keys mean: without it nothing of it can be checked.
fn left_out(pattern: &[&str], mut key: Key) -> Key {
    if matches!(pattern, ["device", _, "adapter"] | ["bus", _, "kind"]) {
        key.pop();
    }
    key
}

fn matches<'a>(value: &'a Value, pattern: &[&str], above: Key) -> Vec<(Key, &'a Value)> {
    let Some((first, rest)) = pattern.split_first() else {
        return vec![(above, value)];
    };
    let Value::Dict(_, dict) = value else {
        return Vec::new();
    };
    dict.iter()
        .filter(|(name, _)| *first == "*" || first == name)
        .flat_map(|(name, value)| {
            let mut key = above.clone();
            key.push(name.clone());
            matches(value, rest, key)
        })
        .collect()
}
