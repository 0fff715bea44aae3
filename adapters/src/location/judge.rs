//! Whether a position can be true, seen from the one before: nothing jumps.

use lamplighter_model::Stamp;

use super::Fix;

/// Metres that a position may be off without being doubted.
const SLACK: f64 = 200.0;
/// So many positions that agree with each other are believed whatever was before.
const AGREEING: u32 = 5;

#[derive(Debug)]
pub(super) struct Judge {
    max_speed: f64,
    last: Option<(Fix, Stamp)>,
    /// A position far away, and how many after it agree with it.
    other: Option<(Fix, Stamp, u32)>,
}

impl Judge {
    pub(super) const fn new(max_speed: f64) -> Self {
        Self {
            max_speed,
            last: None,
            other: None,
        }
    }

    pub(super) fn believes(&mut self, fix: &Fix, at: Stamp) -> bool {
        let speed = fix.speed.unwrap_or(0.0);
        let follows = |(last, since): &(Fix, Stamp)| self.can_follow(last, *since, fix, at);
        let is_sound = speed <= self.max_speed && self.last.as_ref().is_none_or(follows);
        if !is_sound && !self.is_confirmed(fix, at) {
            return false;
        }
        self.other = None;
        self.last = Some((fix.clone(), at));
        true
    }

    /// A jump that goes on being said is where the box is: receivers wake up elsewhere.
    fn is_confirmed(&mut self, fix: &Fix, at: Stamp) -> bool {
        if fix.speed.is_some_and(|speed| speed > self.max_speed) {
            self.other = None;
            return false;
        }
        let agrees = self
            .other
            .as_ref()
            .is_some_and(|(other, since, _)| self.can_follow(other, *since, fix, at));
        let count = match &self.other {
            Some((_, _, count)) if agrees => count + 1,
            Some(_) | None => {
                tracing::warn!("The position has jumped; it is not believed yet");
                1
            }
        };
        self.other = Some((fix.clone(), at, count));
        count >= AGREEING
    }

    fn can_follow(&self, last: &Fix, since: Stamp, fix: &Fix, at: Stamp) -> bool {
        let time = at.mono.saturating_sub(since.mono).as_secs_f64();
        let doubt = last.radius.unwrap_or(0.0) + fix.radius.unwrap_or(0.0);
        last.distance(fix) <= self.max_speed * time + SLACK + doubt
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lamplighter_model::BootId;

    use super::*;

    fn at(seconds: u64) -> Stamp {
        Stamp {
            boot: BootId(1),
            mono: Duration::from_secs(seconds),
        }
    }

    fn place(latitude: f64) -> Fix {
        Fix {
            latitude,
            longitude: 13.0,
            ..Fix::default()
        }
    }

    #[test]
    fn what_moves_as_fast_as_a_car_is_believed_and_a_jump_is_not() {
        let mut judge = Judge::new(111.0);
        assert!(judge.believes(&place(52.0), at(0)));
        // 111 m in a second.
        assert!(judge.believes(&place(52.001), at(1)));
        assert!(!judge.believes(&place(53.0), at(2)), "a jump of 111 km");
        assert!(judge.believes(&place(52.002), at(3)), "back on the road");
        assert!(judge.believes(&place(53.0), at(3 + 3600)), "an hour later");
    }

    #[test]
    fn a_jump_that_stays_is_believed_after_five_positions() {
        let mut judge = Judge::new(111.0);
        judge.believes(&place(52.0), at(0));
        let told: Vec<bool> = (1..=6)
            .map(|second| judge.believes(&place(40.0), at(second)))
            .collect();
        assert_eq!(told, [false, false, false, false, true, true]);
    }

    #[test]
    fn jumps_to_and_fro_are_never_believed() {
        let mut judge = Judge::new(111.0);
        judge.believes(&place(52.0), at(0));
        for second in 1..50u64 {
            let latitude = if second % 2 == 0 { 10.0 } else { -10.0 };
            assert!(!judge.believes(&place(latitude), at(second)), "{second}");
        }
    }

    #[test]
    fn an_absurd_speed_is_never_believed() {
        let mut judge = Judge::new(111.0);
        for second in 0..20 {
            let fix = Fix {
                speed: Some(3000.0),
                ..place(52.0)
            };
            assert!(!judge.believes(&fix, at(second)));
        }
    }
}
