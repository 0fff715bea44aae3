//! Which resource a register usually is.

use super::Obis;

/// A resource of an object whose instance is for the operator to choose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Usual {
    pub object: u16,
    pub resource: u16,
}

/// By OBIS number. A meter rarely has all that 3421 (single-phase electrical meter) must have, so
/// energy, power, voltage and current go to sensors of their own.
const USUAL: [(&str, u16, u16); 44] = [
    ("1-0:1.8.0", 3331, 5700),
    ("1-0:1.8.1", 3331, 5700),
    ("1-0:1.8.2", 3331, 5700),
    ("1-0:1.8.3", 3331, 5700),
    ("1-0:1.8.4", 3331, 5700),
    ("1-0:2.8.0", 3331, 5700),
    ("1-0:2.8.1", 3331, 5700),
    ("1-0:2.8.2", 3331, 5700),
    ("1-0:2.8.3", 3331, 5700),
    ("1-0:2.8.4", 3331, 5700),
    ("1-0:3.8.0", 3421, 29),
    ("1-0:4.8.0", 3421, 30),
    ("1-0:16.7.0", 3305, 5800),
    ("1-0:1.7.0", 3305, 5800),
    ("1-0:2.7.0", 3305, 5800),
    ("1-0:3.7.0", 3305, 5810),
    ("1-0:4.7.0", 3305, 5810),
    ("1-0:21.7.0", 3305, 5800),
    ("1-0:22.7.0", 3305, 5800),
    ("1-0:36.7.0", 3305, 5800),
    ("1-0:41.7.0", 3305, 5800),
    ("1-0:42.7.0", 3305, 5800),
    ("1-0:56.7.0", 3305, 5800),
    ("1-0:61.7.0", 3305, 5800),
    ("1-0:62.7.0", 3305, 5800),
    ("1-0:76.7.0", 3305, 5800),
    ("1-0:12.7.0", 3316, 5700),
    ("1-0:32.7.0", 3316, 5700),
    ("1-0:52.7.0", 3316, 5700),
    ("1-0:72.7.0", 3316, 5700),
    ("1-0:11.7.0", 3317, 5700),
    ("1-0:31.7.0", 3317, 5700),
    ("1-0:51.7.0", 3317, 5700),
    ("1-0:71.7.0", 3317, 5700),
    ("1-0:14.7.0", 3318, 5700),
    ("1-0:13.7.0", 3329, 5700),
    ("0-0:96.7.21", 3421, 37),
    ("0-0:96.7.9", 3421, 38),
    ("0-0:C.1.0", 3331, 5750),
    ("0-0:96.1.1", 3331, 5750),
    // Gas, and what stands behind a customer port, whatever its channel.
    ("7-0:3.0.0", 3423, 1),
    ("24.2.1", 3423, 1),
    ("24.2.3", 3423, 1),
    ("8-0:1.0.0", 3424, 1),
];

/// The resource that a register usually is; `None` where nothing is usual.
pub fn usual(register: &Obis) -> Option<Usual> {
    let found = USUAL.iter().find(|(obis, ..)| {
        obis.parse::<Obis>()
            .is_ok_and(|known| known.matches(register))
    })?;
    let (_, object, resource) = *found;
    Some(Usual { object, resource })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_have_their_usual_resources() {
        for (obis, expected) in [
            ("1.8.0", Some((3331, 5700))),
            ("1-0:1.8.1*255", Some((3331, 5700))),
            ("1-0:1.8.0*1", None),
            ("16.7.0", Some((3305, 5800))),
            ("0-2:24.2.1", Some((3423, 1))),
            ("0-0:96.1.0", Some((3331, 5750))),
            ("99.99.9", None),
        ] {
            let usual = usual(&obis.parse().unwrap());
            assert_eq!(
                usual.map(|usual| (usual.object, usual.resource)),
                expected,
                "{obis}"
            );
        }
        for (obis, ..) in USUAL {
            assert!(obis.parse::<Obis>().is_ok(), "{obis}");
        }
    }
}
