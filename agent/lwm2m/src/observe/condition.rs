//! The value conditions: whether a server wants to hear of another value (lwm2m/30, 4).

use std::cmp::Ordering;

use lamplighter_model::Value;

use super::Attributes;

/// What is known of a value when it is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Judged<'a> {
    pub(super) current: &'a Value,
    /// What a boolean was at the evaluation before.
    pub(super) level: Option<bool>,
    /// What the server was told.
    pub(super) told: &'a Value,
}

impl Attributes {
    /// Whether the value is one that the server wants to hear of. Numbers are compared with what
    /// it was told, in both directions: Core 1.0, 1.1 and 1.2.2 agree on that, an example of 1.2.0
    /// does not.
    pub(super) fn are_met(self, judged: Judged<'_>) -> bool {
        let Judged { current, told, .. } = judged;
        if self.has_value_condition()
            && let (Some(_), Some(_)) = (told.as_f64(), current.as_f64())
        {
            let crossed = |limit: f64| {
                let (before, now) = (compare(told, limit), compare(current, limit));
                (before.is_le() && now.is_gt()) || (before.is_ge() && now.is_lt())
            };
            return self.gt.is_some_and(crossed)
                || self.lt.is_some_and(crossed)
                || self.st.is_some_and(|st| distance(told, current) >= st);
        }
        if let (Some(rise), Value::Boolean(now)) = (self.edge, current) {
            // Compared with the value before, not with what was told: otherwise the server would
            // hear of the first edge alone, as the way back is never told.
            return *now == rise && judged.level.is_some_and(|before| before != rise);
        }
        told != current
    }
}

/// Where a number stands to a limit, exact for integers of 64 bits.
fn compare(value: &Value, limit: f64) -> Ordering {
    let Some(whole) = whole(value) else {
        let value = value.as_f64().unwrap_or(f64::NAN);
        return value.partial_cmp(&limit).unwrap_or(Ordering::Equal);
    };
    // The cast saturates, far outside of what 64 bits hold.
    let floor = limit.floor();
    whole.cmp(&(floor as i128)).then(if floor < limit {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

fn distance(a: &Value, b: &Value) -> f64 {
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return a.abs_diff(b) as f64;
    }
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => (a - b).abs(),
        (Some(_), None) | (None, Some(_)) | (None, None) => 0.0,
    }
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Integer(number) | Value::Time(number) => Some((*number).into()),
        Value::Unsigned(number) => Some((*number).into()),
        Value::Boolean(_)
        | Value::Corelnk(_)
        | Value::Decimal(_)
        | Value::Float(_)
        | Value::Objlnk(_)
        | Value::Opaque(_)
        | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(attributes: Attributes, told: Value, current: Value) -> bool {
        attributes.are_met(Judged {
            current: &current,
            level: None,
            told: &told,
        })
    }

    fn numbers(lt: Option<f64>, gt: Option<f64>, st: Option<f64>) -> Attributes {
        Attributes {
            gt,
            lt,
            st,
            ..Attributes::default()
        }
    }

    /// The cases that the standard, its errata and its test specification publish (lwm2m/30, 4).
    #[test]
    fn the_published_cases_hold() {
        let (a, b) = (
            numbers(None, Some(45.0), Some(10.0)),
            numbers(Some(20.0), Some(85.0), Some(10.0)),
        );
        let (c, d) = (
            numbers(None, Some(2000.0), None),
            numbers(None, None, Some(200.0)),
        );
        let e = numbers(None, Some(4200.0), None);
        for (attributes, told, current, expected) in [
            (a, 45.0, 50.0, true),
            (a, 38.0, 49.0, true),
            // Downward: not in the example of 1.2.0, but in 1.2.2 and by the text of 1.0 and 1.1.
            (a, 48.0, 42.0, true),
            (a, 48.0, 55.0, false),
            (b, 75.0, 90.0, true),
            (b, 50.0, 10.0, true),
            (b, 87.0, 99.0, true),
            // Not in 1.2.0; lt is crossed upward.
            (b, 17.0, 24.0, true),
            (c, 1337.0, 1500.0, false),
            (c, 1337.0, 2000.0, false),
            (c, 1337.0, 2001.0, true),
            (d, 3000.0, 3100.0, false),
            (d, 3000.0, 3500.0, true),
            (e, 4100.0, 4400.0, true),
            (e, 4400.0, 4300.0, false),
            (e, 4400.0, 4100.0, true),
        ] {
            assert_eq!(
                met(attributes, Value::Float(told), Value::Float(current)),
                expected,
                "{attributes:?} {told} {current}"
            );
            let (told, current) = (told as i64, current as i64);
            assert_eq!(
                met(attributes, Value::Integer(told), Value::Integer(current)),
                expected,
                "{attributes:?} {told} {current}"
            );
        }
    }

    /// lwm2m/30, 4: last <= limit < new, or last >= limit > new.
    #[test]
    fn a_value_on_the_limit_has_not_crossed_it_and_crosses_it_with_the_next() {
        let limit = numbers(None, Some(10.0), None);
        for (told, current, expected) in [
            (9, 10, false),
            (11, 10, false),
            (10, 10, false),
            (10, 11, true),
            (10, 9, true),
        ] {
            let integers = met(limit, Value::Integer(told), Value::Integer(current));
            assert_eq!(integers, expected, "{told} {current}");
            let floats = met(
                limit,
                Value::Float(told as f64),
                Value::Float(current as f64),
            );
            assert_eq!(floats, expected, "{told} {current}");
        }
    }

    #[test]
    fn integers_of_64_bits_are_compared_exactly() {
        let top = u64::MAX;
        let unsigned = |value| Value::Unsigned(value);
        let step = numbers(None, None, Some(1.0));
        assert!(met(step, unsigned(top), unsigned(top - 1)));
        assert!(!met(step, unsigned(top), unsigned(top)));
        let limit = numbers(None, Some(9_007_199_254_740_992.0), None);
        assert!(met(
            limit,
            unsigned(9_007_199_254_740_992),
            unsigned(9_007_199_254_740_993)
        ));
        let half = numbers(None, Some(1.5), None);
        assert!(met(half, Value::Integer(1), Value::Integer(2)));
        assert!(met(half, Value::Integer(2), Value::Integer(1)));
        assert!(!met(half, Value::Integer(2), Value::Integer(3)));
        let negative = numbers(Some(-1.5), None, None);
        assert!(met(negative, Value::Integer(-1), Value::Integer(-2)));
        assert!(!met(negative, Value::Integer(-1), Value::Integer(0)));
    }

    #[test]
    fn an_edge_is_told_each_time_and_its_way_back_never() {
        let rise = Attributes {
            edge: Some(true),
            ..Attributes::default()
        };
        let fall = Attributes {
            edge: Some(false),
            ..Attributes::default()
        };
        for (level, now, up, down) in [
            (false, true, true, false),
            (true, false, false, true),
            (true, true, false, false),
            (false, false, false, false),
        ] {
            // Whatever was told last.
            for told in [Value::Boolean(false), Value::Boolean(true)] {
                let judged = Judged {
                    current: &Value::Boolean(now),
                    level: Some(level),
                    told: &told,
                };
                assert_eq!((rise.are_met(judged), fall.are_met(judged)), (up, down));
            }
        }
    }

    #[test]
    fn what_is_no_number_is_told_when_it_is_another() {
        let text = |text: &str| Value::String(text.to_owned());
        let gt = numbers(None, Some(5.0), None);
        assert!(met(gt, text("a"), text("b")));
        assert!(!met(gt, text("a"), text("a")));
    }
}
