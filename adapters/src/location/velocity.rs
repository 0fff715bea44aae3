//! Resource 4 of object 6: a velocity as 3GPP TS 23.032, clause 8, encodes it.

use super::Fix;

/// 8.11: which of the four forms it is, in the highest four bits.
const HORIZONTAL: u8 = 0b0000;
const HORIZONTAL_AND_VERTICAL: u8 = 0b0001;

const KM_PER_H: f64 = 3.6;

/// `None` where speed or direction is not known.
pub(super) fn encode(fix: &Fix) -> Option<Vec<u8>> {
    let (speed, track) = (fix.speed?, fix.track?);
    // Rounded and limited: fits in 9 and 16 bits (8.6, 8.7).
    let bearing = track.round() as u16 % 360;
    let speed = (speed * KM_PER_H).round().min(65_535.0) as u16;
    let [high, low] = bearing.to_be_bytes();
    let [fast, slow] = speed.to_be_bytes();
    let Some(climb) = fix.climb else {
        // 8.12: type, three spare bits, 9 bits of bearing, speed in km/h.
        return Some(vec![HORIZONTAL << 4 | high, low, fast, slow]);
    };
    // 8.13: two spare bits, then the direction (1 is downward); 8.8: the vertical speed in km/h.
    let down = u8::from(climb < 0.0) << 1;
    let vertical = (climb.abs() * KM_PER_H).round().min(255.0) as u8;
    let first = HORIZONTAL_AND_VERTICAL << 4 | down | high;
    Some(vec![first, low, fast, slow, vertical])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving(speed: f64, track: f64, climb: Option<f64>) -> Fix {
        Fix {
            speed: Some(speed),
            track: Some(track),
            climb,
            ..Fix::default()
        }
    }

    #[test]
    fn a_horizontal_velocity_has_a_bearing_of_nine_bits_and_a_speed_in_kilometres_per_hour() {
        // 3GPP TS 23.032, 8.12: 90 km/h to the west.
        assert_eq!(
            encode(&moving(25.0, 270.0, None)),
            Some(vec![0x01, 14, 0, 90])
        );
        assert_eq!(
            encode(&moving(25.0, 90.4, None)),
            Some(vec![0x00, 90, 0, 90])
        );
        // North is 0, also from the other side.
        assert_eq!(encode(&moving(0.0, 359.6, None)), Some(vec![0, 0, 0, 0]));
    }

    #[test]
    fn a_vertical_speed_stands_in_a_fifth_octet_with_its_direction() {
        // 3GPP TS 23.032, 8.13.
        let up = encode(&moving(100.0, 300.0, Some(5.0)));
        assert_eq!(up, Some(vec![0x11, 44, 1, 104, 18]));
        let down = encode(&moving(100.0, 45.0, Some(-500.0)));
        assert_eq!(down, Some(vec![0x12, 45, 1, 104, 255]));
    }

    #[test]
    fn who_does_not_know_the_direction_tells_no_velocity() {
        assert_eq!(
            encode(&Fix {
                speed: Some(1.0),
                ..Fix::default()
            }),
            None
        );
    }
}
