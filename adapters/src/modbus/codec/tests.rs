use proptest::prelude::*;

use super::*;

const ORDERS: [Order; 4] = [Order::Abcd, Order::Badc, Order::Cdab, Order::Dcba];

fn scaled(kind: RegisterType, scale: &str, offset: &str) -> PointCodec {
    PointCodec {
        scaling: Scaling {
            scale: scale.parse().unwrap(),
            offset: offset.parse().unwrap(),
        },
        ..PointCodec::plain(kind, Order::Abcd, DataType::Float)
    }
}

fn decimal(text: &str) -> Value {
    Value::Decimal(text.parse().unwrap())
}

#[test]
fn orders_are_named_by_where_the_bytes_stand() {
    for (order, registers) in [
        (Order::Abcd, [0x0A0B, 0x0C0D]),
        (Order::Badc, [0x0B0A, 0x0D0C]),
        (Order::Cdab, [0x0C0D, 0x0A0B]),
        (Order::Dcba, [0x0D0C, 0x0B0A]),
    ] {
        let codec = PointCodec::plain(RegisterType::U32, order, DataType::Integer);
        assert_eq!(
            codec.decode(&registers),
            Some((Value::Integer(0x0A0B_0C0D), Quality::Good))
        );
        assert_eq!(
            codec.encode(&Value::Integer(0x0A0B_0C0D)),
            Ok(registers.to_vec())
        );
    }
}

#[test]
fn scaling_is_exact() {
    let codec = scaled(RegisterType::I16, "0.1", "0");
    assert_eq!(codec.decode(&[215]), Some((decimal("21.5"), Quality::Good)));
    assert_eq!(
        codec.decode(&[0xFFFF]),
        Some((decimal("-0.1"), Quality::Good))
    );
    assert_eq!(codec.encode(&Value::Float(21.5)), Ok(vec![215]));
    assert_eq!(codec.encode(&Value::Float(21.54)), Ok(vec![215]));
    assert_eq!(codec.encode(&decimal("-0.15")), Ok(vec![0xFFFE]));
    assert_eq!(
        codec.encode(&Value::Float(3276.8)),
        Err(CodecError::OutOfRange)
    );
    let codec = scaled(RegisterType::U16, "0.5", "-40");
    assert_eq!(codec.decode(&[81]), Some((decimal("0.5"), Quality::Good)));
    assert_eq!(codec.encode(&Value::Float(0.5)), Ok(vec![81]));
    assert_eq!(
        codec.encode(&Value::Float(-41.0)),
        Err(CodecError::OutOfRange)
    );
}

#[test]
fn what_the_device_calls_invalid_is_bad() {
    let mut codec = scaled(RegisterType::I16, "0.1", "0");
    codec.invalid = vec![Decimal::from(32767)];
    codec.valid = Some((Decimal::from(-40), Decimal::from(90)));
    for (register, quality) in [
        (32767, Quality::Bad),
        (901, Quality::Bad),
        (900, Quality::Good),
        (0u16.wrapping_sub(401), Quality::Bad),
    ] {
        assert_eq!(codec.decode(&[register]).unwrap().1, quality, "{register}");
    }
    let codec = PointCodec::plain(RegisterType::F32, Order::Abcd, DataType::Float);
    assert_eq!(codec.decode(&[0x7FC0, 0]).unwrap().1, Quality::Bad);
}

#[test]
fn numbers_read_as_their_texts_and_back() {
    let mut codec = PointCodec::plain(RegisterType::U16, Order::Abcd, DataType::String);
    codec.map = [(0, "cool".to_owned()), (5, "fan".to_owned())].into();
    assert_eq!(
        codec.decode(&[5]),
        Some((Value::String("fan".into()), Quality::Good))
    );
    assert_eq!(
        codec.decode(&[4]),
        Some((Value::String("4".into()), Quality::Bad))
    );
    assert_eq!(codec.encode(&Value::String("fan".into())), Ok(vec![5]));
    assert_eq!(
        codec.encode(&Value::String("hot".into())),
        Err(CodecError::UnknownText)
    );
}

#[test]
fn values_come_as_their_resource_wants_them() {
    let as_type = |kind, data_type, registers: &[u16]| {
        PointCodec::plain(kind, Order::Abcd, data_type)
            .decode(registers)
            .unwrap()
    };
    assert_eq!(
        as_type(RegisterType::U16, DataType::Boolean, &[1]),
        (Value::Boolean(true), Quality::Good)
    );
    assert_eq!(
        as_type(RegisterType::U16, DataType::Boolean, &[7]),
        (Value::Boolean(true), Quality::Bad)
    );
    assert_eq!(
        as_type(RegisterType::Bit(10), DataType::Boolean, &[0x0400]),
        (Value::Boolean(true), Quality::Good)
    );
    assert_eq!(
        as_type(RegisterType::F32, DataType::Float, &[0x41A8, 0xCCCD]).0,
        Value::Float(21.1)
    );
    assert_eq!(
        as_type(RegisterType::F32, DataType::Integer, &[0x41A8, 0xCCCD]).0,
        Value::Integer(21)
    );
    assert_eq!(
        as_type(RegisterType::U64, DataType::Unsigned, &[0xFFFF; 4]),
        (Value::Unsigned(u64::MAX), Quality::Good)
    );
    assert_eq!(
        as_type(RegisterType::U64, DataType::Integer, &[0xFFFF; 4]).1,
        Quality::Bad
    );
    assert_eq!(
        as_type(
            RegisterType::Text(3),
            DataType::String,
            &[0x4142, 0x4300, 0]
        ),
        (Value::String("ABC".into()), Quality::Good)
    );
    let coil = PointCodec::plain(RegisterType::Bool, Order::Abcd, DataType::Boolean);
    assert_eq!(coil.encode_bit(&Value::Boolean(true)), Ok(true));
    assert_eq!(
        coil.encode_bit(&Value::Integer(2)),
        Err(CodecError::OutOfRange)
    );
}

#[test]
fn part_of_a_register_reads_and_leaves_the_rest_alone() {
    let part = |kind| PointCodec::plain(kind, Order::Abcd, DataType::Integer);
    for (kind, value, keep, set) in [
        (RegisterType::Bits(4, 4), 0xB, 0xFF0F, 0x00B0),
        (RegisterType::Bits(0, 16), 0x12B4, 0, 0x12B4),
        (RegisterType::U8(Byte::High), 0x12, 0x00FF, 0x1200),
        (RegisterType::U8(Byte::Low), 0xB4, 0xFF00, 0x00B4),
        (RegisterType::I8(Byte::Low), -76, 0xFF00, 0x00B4),
        (RegisterType::I8(Byte::High), 18, 0x00FF, 0x1200),
    ] {
        let value = Value::Integer(value);
        assert_eq!(
            part(kind).decode(&[0x12B4]),
            Some((value.clone(), Quality::Good)),
            "{kind:?}"
        );
        assert_eq!(
            part(kind).encode_field(&value),
            Ok(Masked { keep, set }),
            "{kind:?}"
        );
        assert!(part(kind).encode(&value).is_err());
    }
    let bit = PointCodec::plain(RegisterType::Bit(15), Order::Badc, DataType::Boolean);
    // Swapped bytes: what is bit 15 of the number is bit 7 on the wire.
    assert_eq!(
        bit.decode(&[0x0080]),
        Some((Value::Boolean(true), Quality::Good))
    );
    assert_eq!(
        bit.encode_field(&Value::Boolean(true)),
        Ok(Masked {
            keep: 0xFF7F,
            set: 0x0080
        })
    );
    for (kind, value) in [
        (RegisterType::Bits(4, 4), 16),
        (RegisterType::U8(Byte::Low), -1),
        (RegisterType::I8(Byte::Low), 128),
    ] {
        assert_eq!(
            part(kind).encode_field(&Value::Integer(value)),
            Err(CodecError::OutOfRange)
        );
    }
}

#[test]
fn digits_dates_and_texts_in_one_byte_are_laid_out() {
    let plain = |kind, data_type| PointCodec::plain(kind, Order::Abcd, data_type);
    let digits = plain(RegisterType::Bcd(2), DataType::Integer);
    assert_eq!(
        digits.decode(&[0x1234, 0x5678]),
        Some((Value::Integer(12_345_678), Quality::Good))
    );
    assert_eq!(
        digits.encode(&Value::Integer(12_345_678)),
        Ok(vec![0x1234, 0x5678])
    );
    assert_eq!(
        digits.encode(&Value::Integer(123_456_789)),
        Err(CodecError::OutOfRange)
    );
    assert_eq!(digits.decode(&[0x123A, 0]).unwrap().1, Quality::Bad);
    let date = PointCodec {
        // A controller whose clock is an hour ahead of UTC.
        scaling: Scaling {
            scale: Decimal::from(1),
            offset: Decimal::from(-3600),
        },
        ..plain(RegisterType::Date(DateLayout::Words), DataType::Time)
    };
    let registers = [2026, 11, 23, 0, 5, 59];
    assert_eq!(
        date.decode(&registers),
        Some((Value::Time(1_795_388_759), Quality::Good))
    );
    assert_eq!(
        date.encode(&Value::Time(1_795_388_759)),
        Ok(registers.to_vec())
    );
    assert_eq!(date.decode(&[0; 6]).unwrap().1, Quality::Bad);
    let text = plain(RegisterType::HalfText(4, Byte::High), DataType::String);
    assert_eq!(
        text.decode(&[0x41FF, 0x4200, 0x4300, 0x0012]),
        Some((Value::String("ABC".into()), Quality::Good))
    );
    assert_eq!(
        text.encode(&Value::String("ABC".into())),
        Ok(vec![0x4100, 0x4200, 0x4300, 0])
    );
    assert!(text.encode(&Value::String("ABCDE".into())).is_err());
}

#[test]
fn the_wrong_number_of_registers_is_no_value() {
    assert_eq!(
        PointCodec::plain(RegisterType::U32, Order::Abcd, DataType::Integer).decode(&[1]),
        None
    );
}

proptest! {
    #[test]
    fn what_is_decoded_encodes_to_the_same_registers(words in prop::array::uniform4(any::<u16>())) {
        let cases = [
            (RegisterType::I16, DataType::Integer),
            (RegisterType::U16, DataType::Integer),
            (RegisterType::I32, DataType::Integer),
            (RegisterType::U32, DataType::Unsigned),
            (RegisterType::I64, DataType::Integer),
            (RegisterType::U64, DataType::Unsigned),
            (RegisterType::Bcd(1), DataType::Integer),
            (RegisterType::Bcd(2), DataType::Integer),
            (RegisterType::Bcd(4), DataType::Integer),
            (RegisterType::F16, DataType::Float),
            (RegisterType::F32, DataType::Float),
            (RegisterType::F64, DataType::Float),
        ];
        for (kind, data_type) in cases {
            for order in ORDERS {
                let codec = PointCodec::plain(kind, order, data_type);
                let registers = &words[..usize::from(kind.width())];
                let (value, quality) = codec.decode(registers).unwrap();
                if quality == Quality::Good {
                    prop_assert_eq!(codec.encode(&value).unwrap(), registers, "{:?} {:?}", kind, order);
                }
            }
        }
    }

    #[test]
    fn parts_of_registers_come_back(word: u16, rest: u16, first in 0u8..16, count in 1u8..16) {
        let kinds = [
            RegisterType::Bit(first),
            RegisterType::Bits(first, count.min(16 - first)),
            RegisterType::I8(Byte::High),
            RegisterType::I8(Byte::Low),
            RegisterType::U8(Byte::High),
            RegisterType::U8(Byte::Low),
        ];
        for kind in kinds {
            for order in ORDERS {
                let codec = PointCodec::plain(kind, order, DataType::Integer);
                let (value, _) = codec.decode(&[word]).unwrap();
                let Masked { keep, set } = codec.encode_field(&value).unwrap();
                let changed = rest & keep | set;
                prop_assert_eq!(codec.decode(&[changed]).unwrap().0, value);
                prop_assert_eq!(changed & keep, rest & keep);
            }
        }
    }

    #[test]
    fn scaled_registers_come_back_too(word: u16, scale in 1i64..1000, exponent in -6i8..3, offset in -500i64..500) {
        let scaling = Scaling { scale: Decimal::new(scale, exponent), offset: Decimal::new(offset, -1) };
        for kind in [RegisterType::I16, RegisterType::U16] {
            let codec = PointCodec { scaling, ..PointCodec::plain(kind, Order::Badc, DataType::Float) };
            let (value, _) = codec.decode(&[word]).unwrap();
            prop_assert_eq!(codec.encode(&value), Ok(vec![word]));
            // Formats on the wire carry floats: those come back as well.
            prop_assert_eq!(codec.encode(&Value::Float(value.as_f64().unwrap())), Ok(vec![word]));
        }
    }

    #[test]
    fn texts_come_back(text in "[ -~]{0,7}[!-~]") {
        for order in ORDERS {
            let codec = PointCodec::plain(RegisterType::Text(4), order, DataType::String);
            let value = Value::String(text.clone());
            prop_assert_eq!(codec.decode(&codec.encode(&value).unwrap()), Some((value, Quality::Good)));
        }
    }

    #[test]
    fn no_registers_and_no_value_make_it_panic(
        words in prop::collection::vec(any::<u16>(), 0..5),
        number: f64,
        scale: i64,
        exponent: i8,
    ) {
        let scaling = Scaling { scale: Decimal::new(scale, exponent), offset: Decimal::new(i64::MIN, 0) };
        for kind in [RegisterType::I64, RegisterType::U64, RegisterType::F32, RegisterType::Bit(200), RegisterType::Bits(200, 200), RegisterType::Bcd(9), RegisterType::F16] {
            let codec = PointCodec { scaling, ..PointCodec::plain(kind, Order::Dcba, DataType::Integer) };
            let _ = codec.decode(&words);
            let _ = codec.encode(&Value::Float(number));
            let _ = codec.encode(&Value::Integer(scale));
            let _ = codec.encode_field(&Value::Integer(scale));
        }
    }
}
