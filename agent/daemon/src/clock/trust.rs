//! Whether the date can be believed (design, 6 "Clock").
//!
//! - Trusted: NTP has set the clock since the start of the machine, or a real-time clock with a
//!   battery or satellites (GNSS) say the same. It stays so while the clock goes on without a jump.
//! - Estimated: a date that may be right. Boxes without a real-time clock begin with the date of
//!   their last shut-down.
//! - Unknown: no date at all; [`Now::unix`] is `None` then.

use std::{fs, path::Path, sync::mpsc, thread, time::Duration};

use lamplighter_lwm2m::boundary::ClockTrust;
use lamplighter_model::{Now, Stamp, UnixTime};
use lamplighter_site::boundary as site;

use super::{NOT_BEFORE, local::LocalZone, ntp};

/// How often the witnesses are asked: until one vouches, and afterwards.
const WHILE_DOUBTED: Duration = Duration::from_secs(10);
const WHILE_TRUSTED: Duration = Duration::from_secs(60);
/// The same while a real-time clock has not answered yet.
const WHILE_ASKED: Duration = Duration::from_secs(1);
/// How often the core is told, though nothing has changed: certificates end, and the date is kept.
const TOLD_EVERY: Duration = Duration::from_secs(86_400);
/// Two clocks that differ by less say the same; one that moves by more has jumped.
const SAME_MS: u64 = 60_000;

/// What a receiver said is not asked for again; after this time it is nobody's word any more.
const GNSS_FRESH: Duration = Duration::from_secs(60);

/// Where the kernel shows real-time clocks.
const RTC: &str = "/sys/class/rtc";

/// Follows the clock.
#[derive(Debug, Default)]
pub struct Watch {
    due: Duration,
    /// What a receiver of satellites said last, and when on the monotonic clock.
    gnss: Option<(UnixTime, Duration)>,
    rtc: RealTimeClock,
    told: Option<(ClockTrust, Duration)>,
    /// Date minus time since the start, in milliseconds, as somebody has vouched for it.
    vouched: Option<i64>,
    zone: LocalZone,
}

/// Read on a thread of its own, one at a time: a chip on a bus that hangs never answers.
#[derive(Debug, Default)]
struct RealTimeClock {
    answer: Option<mpsc::Receiver<UnixTime>>,
    asked: Duration,
}

/// What speaks for the date.
#[derive(Clone, Copy, Debug, Default)]
struct Witnesses {
    ntp: bool,
    /// What satellites say.
    gnss: Option<UnixTime>,
    /// What a real-time clock shows.
    rtc: Option<UnixTime>,
}

impl Watch {
    /// When [`Self::look`] is due.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// What the core is to be told, if anything.
    pub fn look(&mut self, now: Now) -> Option<ClockTrust> {
        let ntp = ntp::is_synchronized();
        let rtc = if ntp || self.goes_on(now) {
            None
        } else {
            self.rtc.ask(Path::new(RTC), now)
        };
        let gnss = self.satellites(now);
        self.judge(now, Witnesses { ntp, gnss, rtc })
    }

    /// A receiver that knows where it is knows the date.
    pub fn on_gnss(&mut self, date: UnixTime, at: Stamp) {
        self.gnss = Some((date, at.mono));
    }

    /// What it is by their word now.
    fn satellites(&self, now: Now) -> Option<UnixTime> {
        let (date, at) = self.gnss?;
        let age = now.mono.saturating_sub(at);
        let millis = i64::try_from(age.as_millis()).ok()?;
        (age < GNSS_FRESH).then(|| UnixTime(date.0.saturating_add(millis)))
    }

    /// The same, where waiting for a real-time clock harms nobody.
    pub(super) fn wait(&mut self, now: Now) -> Option<ClockTrust> {
        let ntp = ntp::is_synchronized();
        let rtc = real_time_clock(Path::new(RTC));
        let gnss = None;
        self.judge(now, Witnesses { ntp, gnss, rtc })
    }

    /// Asks already, so that an answer is there at the first [`Self::look`].
    pub fn begin(now: Now) -> Self {
        let mut watch = Self::default();
        watch.rtc.begin(Path::new(RTC), now);
        watch
    }

    /// What the site is told, whenever the witnesses were asked.
    pub fn of_site(&mut self) -> site::Clock {
        let trust = match self.told {
            Some((ClockTrust::Trusted, _)) => site::ClockTrust::Trusted,
            Some((ClockTrust::Estimated, _)) | None => site::ClockTrust::Estimated,
        };
        site::Clock {
            trust,
            zone: self.zone.look(),
        }
    }

    fn judge(&mut self, now: Now, witnesses: Witnesses) -> Option<ClockTrust> {
        let agrees = |shown: UnixTime| {
            let unix = now.unix.filter(|_| shown >= NOT_BEFORE);
            unix.is_some_and(|unix| unix.0.abs_diff(shown.0) < SAME_MS)
        };
        let clocks = [witnesses.gnss, witnesses.rtc];
        if witnesses.ntp || clocks.into_iter().flatten().any(agrees) {
            self.vouched = offset(now);
        } else if !self.goes_on(now) {
            self.vouched = None;
        }
        let (trust, pause) = match self.vouched {
            Some(_) => (ClockTrust::Trusted, WHILE_TRUSTED),
            None if self.rtc.is_asked() => (ClockTrust::Estimated, WHILE_ASKED),
            None => (ClockTrust::Estimated, WHILE_DOUBTED),
        };
        self.due = now.mono + pause;
        let is_known = self
            .told
            .is_some_and(|(told, at)| told == trust && now.mono.saturating_sub(at) < TOLD_EVERY);
        if is_known {
            return None;
        }
        self.told = Some((trust, now.mono));
        Some(trust)
    }

    /// Whether the date is what it was when somebody vouched, plus the time since.
    fn goes_on(&self, now: Now) -> bool {
        let same = |(vouched, present): (i64, i64)| vouched.abs_diff(present) < SAME_MS;
        self.vouched.zip(offset(now)).is_some_and(same)
    }
}

fn offset(now: Now) -> Option<i64> {
    let mono = i64::try_from(now.mono.as_millis()).ok()?;
    Some(now.unix?.0.saturating_sub(mono))
}

impl RealTimeClock {
    /// What it shows now, once it has answered; asks where nobody has.
    fn ask(&mut self, root: &Path, now: Now) -> Option<UnixTime> {
        if self.answer.is_none() {
            self.begin(root, now);
        }
        match self.answer.as_ref()?.try_recv() {
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => {
                self.answer = None;
                None
            }
            Ok(shown) => {
                self.answer = None;
                let since = now.mono.saturating_sub(self.asked);
                let since = i64::try_from(since.as_millis()).ok()?;
                Some(UnixTime(shown.0.saturating_add(since)))
            }
        }
    }

    fn begin(&mut self, root: &Path, now: Now) {
        let (sender, receiver) = mpsc::channel();
        let root = root.to_owned();
        let reader = move || {
            // Nobody listens any more where the agent ends meanwhile.
            let _ = real_time_clock(&root).map(|shown| sender.send(shown));
        };
        let thread = thread::Builder::new().name("rtc".to_owned()).spawn(reader);
        self.answer = thread.is_ok().then_some(receiver);
        self.asked = now.mono;
    }

    const fn is_asked(&self) -> bool {
        self.answer.is_some()
    }
}

/// The first that tells anything.
fn real_time_clock(root: &Path) -> Option<UnixTime> {
    let mut clocks: Vec<_> = fs::read_dir(root).ok()?.flatten().collect();
    clocks.sort_by_key(fs::DirEntry::file_name);
    let tells = |clock: &fs::DirEntry| {
        let text = fs::read_to_string(clock.path().join("since_epoch")).ok()?;
        Some(UnixTime::from_seconds(text.trim().parse().ok()?))
    };
    clocks.iter().find_map(tells)
}

#[cfg(test)]
mod tests {
    use lamplighter_model::BootId;

    use super::*;

    const DATE: i64 = 1_800_000_000;

    fn at(mono: u64, unix: Option<i64>) -> Now {
        Now {
            boot: BootId(1),
            mono: Duration::from_secs(mono),
            unix: unix.map(UnixTime::from_seconds),
        }
    }

    fn rtc(seconds: i64) -> Witnesses {
        Witnesses {
            rtc: Some(UnixTime::from_seconds(seconds)),
            ..NOBODY
        }
    }

    const NOBODY: Witnesses = Witnesses {
        ntp: false,
        gnss: None,
        rtc: None,
    };
    const NTP: Witnesses = Witnesses {
        ntp: true,
        ..NOBODY
    };

    #[test]
    fn a_plausible_date_alone_is_an_estimate() {
        let mut watch = Watch::default();
        let now = at(5, Some(DATE));
        assert_eq!(watch.judge(now, NOBODY), Some(ClockTrust::Estimated));
        assert_eq!(watch.due(), Duration::from_secs(15));
        assert_eq!(watch.judge(at(15, Some(DATE + 10)), NOBODY), None);
    }

    #[test]
    fn ntp_makes_it_trusted_and_it_stays_so_until_it_jumps() {
        let mut watch = Watch::default();
        assert_eq!(
            watch.judge(at(5, Some(DATE)), NTP),
            Some(ClockTrust::Trusted)
        );
        // Nobody was heard for hours: the clock goes on.
        assert_eq!(watch.judge(at(50_005, Some(DATE + 50_000)), NOBODY), None);
        // Somebody has set it by hand.
        let jumped = watch.judge(at(50_065, Some(DATE)), NOBODY);
        assert_eq!(jumped, Some(ClockTrust::Estimated));
        let back = watch.judge(at(50_075, Some(DATE + 50_070)), NTP);
        assert_eq!(back, Some(ClockTrust::Trusted));
    }

    #[test]
    fn a_real_time_clock_is_believed_where_both_say_the_same() {
        let estimated = Some(ClockTrust::Estimated);
        let judged = |rtc| Watch::default().judge(at(5, Some(DATE)), rtc);
        assert_eq!(judged(rtc(DATE + 2)), Some(ClockTrust::Trusted));
        // Its battery is empty: the date is that of the last shut-down.
        assert_eq!(judged(rtc(5)), estimated);
        assert_eq!(judged(rtc(DATE + 86_400)), estimated);
        // Both began at the beginning of time.
        let nothing = Watch::default().judge(at(5, None), rtc(5));
        assert_eq!(nothing, estimated);
        assert_eq!(Watch::default().judge(at(5, None), NTP), estimated);
    }

    #[test]
    fn satellites_are_believed_where_both_say_the_same_and_while_they_are_heard() {
        let judged = |said: i64, at_mono: u64| {
            let mut watch = Watch::default();
            let at_fix = at(100, None).stamp();
            watch.on_gnss(UnixTime::from_seconds(said), at_fix);
            let now = at(at_mono, Some(DATE));
            let gnss = watch.satellites(now);
            watch.judge(now, Witnesses { gnss, ..NOBODY })
        };
        assert_eq!(judged(DATE, 101), Some(ClockTrust::Trusted));
        // A receiver whose weeks have begun anew (1024 weeks, 19.6 years).
        let wrong = DATE - 1024 * 7 * 86_400;
        assert_eq!(judged(wrong, 101), Some(ClockTrust::Estimated));
        assert_eq!(judged(DATE - 3600, 101), Some(ClockTrust::Estimated));
        // What it said a minute ago.
        assert_eq!(judged(DATE - 60, 160), Some(ClockTrust::Estimated));
    }

    #[test]
    fn the_core_is_told_again_once_a_day() {
        let mut watch = Watch::default();
        assert!(watch.judge(at(5, Some(DATE)), NTP).is_some());
        assert_eq!(watch.judge(at(86_000, Some(DATE + 85_995)), NTP), None);
        let again = watch.judge(at(86_405, Some(DATE + 86_400)), NTP);
        assert_eq!(again, Some(ClockTrust::Trusted));
    }

    #[test]
    fn a_real_time_clock_that_hangs_holds_up_nobody() {
        let root = std::env::temp_dir().join(format!("lamplighter-hung-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("rtc0")).unwrap();
        let fifo = root.join("rtc0/since_epoch");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut clock = RealTimeClock::default();
        assert_eq!(clock.ask(&root, at(5, None)), None);
        assert_eq!(clock.ask(&root, at(6, None)), None);
        assert!(clock.is_asked());

        // It answers after all: what it shows has gone on since it was asked.
        let mut chip = fs::File::options().write(true).open(&fifo).unwrap();
        std::io::Write::write_all(&mut chip, b"1800000000").unwrap();
        drop(chip);
        let shown = loop {
            if let Some(shown) = clock.ask(&root, at(8, None)) {
                break shown;
            }
            assert!(clock.is_asked());
            thread::yield_now();
        };
        assert_eq!(shown, UnixTime::from_seconds(DATE + 3));
        assert!(!clock.is_asked());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_first_real_time_clock_that_tells_anything_is_read() {
        let root = std::env::temp_dir().join(format!("lamplighter-rtc-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        assert_eq!(real_time_clock(&root), None);
        for (name, text) in [("rtc0", ""), ("rtc1", "1800000000\n")] {
            fs::create_dir_all(root.join(name)).unwrap();
            crate::atomic::write(&root.join(name).join("since_epoch"), text.as_bytes(), 0o600)
                .unwrap();
        }
        assert_eq!(real_time_clock(&root), Some(UnixTime::from_seconds(DATE)));
        fs::remove_dir_all(root).unwrap();
    }
}
