use std::time::Duration;

use lamplighter_lwm2m::boundary::Kept;
use lamplighter_model::{
    BootId, Decimal, DeviceId, ObjectLink, Quality, ResourceAddress, ResourceInstanceId,
    ResourcePath, Sample, Scope, Stamp, UnixTime, Value,
};
use proptest::prelude::*;

use super::*;

fn pack(samples: &[Kept]) -> Vec<u8> {
    let mut packer = Packer::default();
    let mut out = Vec::new();
    for kept in samples {
        packer.push(kept, &mut out);
    }
    out
}

fn sample(number: u64, resource: u16, ms: u64, value: Value) -> Kept {
    let at = Stamp {
        boot: BootId(3),
        mono: Duration::from_millis(ms),
    };
    let address = ResourceAddress::gateway(3303, 0, resource);
    Kept {
        number,
        sample: Sample::good(address, value, at),
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<(i64, i8)>().prop_map(|(m, e)| Value::Decimal(Decimal::new(m, e))),
        (-5000i64..5000, 0i8..4).prop_map(|(m, e)| Value::Decimal(Decimal::new(m, -e))),
        any::<f64>().prop_map(Value::Float),
        (-5000i32..5000).prop_map(|tenths| Value::Float(f64::from(tenths) / 10.0)),
        any::<f32>().prop_map(|single| Value::Float(single.into())),
        any::<i64>().prop_map(Value::Integer),
        any::<u64>().prop_map(Value::Unsigned),
        any::<i64>().prop_map(Value::Time),
        any::<(u16, u16)>()
            .prop_map(|(object, instance)| { Value::Objlnk(ObjectLink { object, instance }) }),
        "[a-z]{0,9}".prop_map(Value::String),
        "[a-z]{0,9}".prop_map(Value::Corelnk),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Opaque),
    ]
}

fn quality() -> impl Strategy<Value = Quality> {
    prop_oneof![
        Just(Quality::Bad),
        Just(Quality::Good),
        Just(Quality::Stale),
        Just(Quality::Unchecked),
    ]
}

prop_compose! {
    fn any_kept()(
        number in prop_oneof![0..100u64, any::<u64>()],
        device in prop::option::of(0..3u16),
        ids in (0..4u16, prop_oneof![0..3u16, any::<u16>()], 0..3u16),
        index in prop::option::of(0..3u16),
        boot in prop_oneof![0..2u32, any::<u32>()],
        mono in prop_oneof![0..100_000u64, any::<u64>()],
        source in prop::option::of(prop_oneof![0..100_000i64, any::<i64>()]),
        quality in quality(),
        value in value(),
    ) -> Kept {
        let scope = device.map_or(Scope::Gateway, |id| Scope::Device(DeviceId(id)));
        let path = ResourcePath::new(ids.0, ids.1, ids.2);
        let at = Stamp { boot: BootId(boot), mono: Duration::from_millis(mono) };
        let sample = Sample {
            address: ResourceAddress { scope, path },
            index: index.map(ResourceInstanceId),
            value,
            at,
            source_time: source.map(UnixTime),
            quality,
        };
        Kept { number, sample }
    }
}

/// Equal, and floats to the bit.
fn is_same(a: &Kept, b: &Kept) -> bool {
    match (&a.sample.value, &b.sample.value) {
        (Value::Float(x), Value::Float(y)) => {
            let mut b = b.clone();
            b.sample.value = a.sample.value.clone();
            x.to_bits() == y.to_bits() && (x.is_nan() || *a == b)
        }
        (Value::Decimal(x), Value::Decimal(y)) => {
            (x.mantissa, x.exponent) == (y.mantissa, y.exponent) && a == b
        }
        _ => a == b,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_was_packed_is_unpacked(samples in prop::collection::vec(any_kept(), 0..60)) {
        let found = unpack(&pack(&samples)).unwrap();
        prop_assert_eq!(found.len(), samples.len());
        for (found, packed) in found.iter().zip(&samples) {
            prop_assert!(is_same(found, packed), "{found:?} {packed:?}");
        }
    }

    #[test]
    fn any_bytes_are_samples_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = unpack(&bytes);
    }

    #[test]
    fn damaged_bytes_are_samples_or_an_error(
        samples in prop::collection::vec(any_kept(), 1..20),
        at in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let mut bytes = pack(&samples);
        let at = at.index(bytes.len());
        bytes[at] ^= with;
        let _ = unpack(&bytes);
        let _ = unpack(&bytes[..at]);
    }

    #[test]
    fn pieces_are_unpacked_as_a_whole(
        samples in prop::collection::vec(any_kept(), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(samples.len());
        let (mut packer, mut pieces) = (Packer::default(), [Vec::new(), Vec::new()]);
        for (place, kept) in samples.iter().enumerate() {
            packer.push(kept, &mut pieces[usize::from(place >= cut)]);
        }
        prop_assert_eq!(pieces.concat(), pack(&samples));
        let (mut unpacker, mut count) = (Unpacker::default(), 0);
        for piece in &pieces {
            let mut at = 0;
            while at < piece.len() {
                at += unpacker.unpack_some(&piece[at..], 3, |_| count += 1).unwrap();
            }
        }
        prop_assert_eq!(count, samples.len());
    }
}

/// Our own invention; what was stored by this version must be read by every later one.
#[test]
fn the_bytes_of_version_1_stay_what_they_are() {
    let float = |tenths: i32| Value::Float(f64::from(tenths) / 10.0);
    let mut timed = sample(7, 5700, 1500, float(215));
    timed.sample.source_time = Some(UnixTime(1_800_000_001_500));
    let mut bad = sample(8, 5701, 1501, Value::String("ab".to_owned()));
    bad.sample.quality = Quality::Bad;
    let mut again = sample(9, 5700, 61_500, float(214));
    again.sample.source_time = Some(UnixTime(1_800_000_061_500));
    let samples = [timed, bad, again];
    let bytes = [
        // /3303/0/5700: number 7, new path, boot 3, source time written out, a float of 1 place
        0b1100_1110,
        7,
        0,
        0,
        0xce,
        0x33,
        0,
        0x88,
        0x59,
        3,
        0xb8,
        0x17,
        0x80,
        0xc0,
        0xe2,
        0x85,
        0xe3,
        0x68,
        4,
        1,
        0xae,
        3,
        // /3303/0/5701: new path, bad, a text
        0b0001_1010,
        0,
        0,
        0,
        0,
        2,
        2,
        0,
        10,
        2,
        b'a',
        b'b',
        // the first path again, a minute later, source time as expected, a tenth less
        0b0010_0001,
        0,
        0xbe,
        0xa9,
        7,
        1,
    ];
    assert_eq!(pack(&samples), bytes, "{:02x?}", pack(&samples));
    assert_eq!(unpack(&bytes), Ok(samples.to_vec()));
}

#[test]
fn a_site_that_goes_on_as_before_takes_few_bytes() {
    let mut samples = Vec::new();
    for round in 0..20u64 {
        for point in 0..100u16 {
            let number = round * 100 + u64::from(point);
            let noise = (number * 7919 % 13) as i32;
            let value = Value::Float(f64::from(200 + noise + i32::from(point)) / 10.0);
            let ms = round * 60_000 + u64::from(point) * 17;
            let mut kept = sample(number, point, ms, value);
            kept.sample.source_time = Some(UnixTime(1_800_000_000_000 + ms.cast_signed()));
            samples.push(kept);
        }
    }
    let bytes = pack(&samples).len();
    assert!(
        bytes < 4 * samples.len(),
        "{bytes} bytes for {}",
        samples.len()
    );
}
