//! Short messages that wake this box: who may, and how often. Pure.
//!
//! A message of an allowed sender wakes, whatever it says, and is deleted; every other one is left in
//! its place, for whoever it is for. All that comes of it is an Update, so a forged sender gains
//! nothing but traffic, of which there is a limit.

use std::{collections::BTreeSet, time::Duration};

use super::bag::Bag;

/// Between two times that messages wake the box. What comes earlier wakes it then.
pub(super) const GAP: Duration = Duration::from_secs(60);
/// Messages that are read at one look.
pub(super) const READS_MAX: usize = 8;

/// MMSmsState
const RECEIVED: i64 = 3;

/// One message, as far as it matters here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sms {
    sender: Option<String>,
    is_complete: bool,
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// From somebody who may wake the box: deleted.
    Wakes,
    /// Of somebody else.
    Stays,
    /// Parts of it are still to come.
    Later,
}

/// The messages of one modem.
#[derive(Clone, Debug, Default)]
pub(super) struct Inbox {
    /// Those that were read already and are still there.
    seen: BTreeSet<String>,
    /// Of these parts are still to come.
    later: BTreeSet<String>,
    last: Option<Duration>,
    is_due: bool,
}

impl Sms {
    pub(super) fn read(sms: &Bag) -> Self {
        Self {
            sender: sms.text("Number"),
            is_complete: sms.number("State") == Some(RECEIVED),
        }
    }

    pub(super) fn verdict(&self, allowed: &[String]) -> Verdict {
        if !self.is_complete {
            return Verdict::Later;
        }
        let may_wake = |sender: &String| {
            let sender = number(sender);
            !sender.is_empty() && allowed.iter().any(|allowed| number(allowed) == sender)
        };
        if self.sender.as_ref().is_some_and(may_wake) {
            Verdict::Wakes
        } else {
            Verdict::Stays
        }
    }
}

impl Inbox {
    /// Those that are to be read now, of all that are there: new ones first.
    pub(super) fn unread(&mut self, there: &[String]) -> Vec<String> {
        self.seen.retain(|path| there.contains(path));
        self.later.retain(|path| there.contains(path));
        let new = there.iter().filter(|path| self.is_new(path));
        let in_parts = there.iter().filter(|path| self.later.contains(*path));
        new.chain(in_parts).take(READS_MAX).cloned().collect()
    }

    /// Whether some of them were never looked at.
    pub(super) fn has_new(&self, there: &[String]) -> bool {
        there.iter().any(|path| self.is_new(path))
    }

    pub(super) fn read(&mut self, path: &str, verdict: Verdict) {
        self.later.remove(path);
        match verdict {
            Verdict::Later => {
                self.later.insert(path.to_owned());
                return;
            }
            Verdict::Wakes => self.is_due = true,
            Verdict::Stays => {}
        }
        self.seen.insert(path.to_owned());
    }

    fn is_new(&self, path: &String) -> bool {
        !self.seen.contains(path) && !self.later.contains(path)
    }

    /// Whether the box is to be woken now.
    pub(super) fn wakes(&mut self, now: Duration) -> bool {
        let wakes = self.is_due && self.due().is_none_or(|due| due <= now);
        if wakes {
            self.is_due = false;
            self.last = Some(now);
        }
        wakes
    }

    /// When it will be woken.
    pub(super) fn due(&self) -> Option<Duration> {
        let last = self.last.filter(|_| self.is_due)?;
        Some(last + GAP)
    }
}

/// A number without what people put between its digits; `00` in front is a `+`.
fn number(text: &str) -> String {
    let between = |c: &char| !matches!(c, ' ' | '-' | '.' | '/' | '(' | ')');
    let plain: String = text.chars().filter(between).collect();
    match plain.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::Variant;

    fn sms(sender: &str, state: u32) -> Sms {
        Sms::read(&Bag::from([
            ("Number", Variant::from(sender.to_owned())),
            ("State", Variant::U32(state)),
            ("Text", Variant::from("anything")),
        ]))
    }

    fn allowed() -> Vec<String> {
        vec!["+34600111222".into(), "1234".into()]
    }

    #[test]
    fn only_allowed_senders_wake() {
        for (sender, verdict) in [
            ("+34600111222", Verdict::Wakes),
            ("0034600111222", Verdict::Wakes),
            ("+34 600-111.222", Verdict::Wakes),
            ("1234", Verdict::Wakes),
            ("+34600111223", Verdict::Stays),
            ("34600111222", Verdict::Stays),
            ("600111222", Verdict::Stays),
            ("+1234", Verdict::Stays),
            ("M2M", Verdict::Stays),
            ("", Verdict::Stays),
        ] {
            assert_eq!(sms(sender, 3).verdict(&allowed()), verdict, "{sender}");
        }
        assert_eq!(sms("+34600111222", 3).verdict(&[]), Verdict::Stays);
        let empty = vec![String::new()];
        assert_eq!(sms("-", 3).verdict(&empty), Verdict::Stays);
    }

    #[test]
    fn a_message_in_parts_is_read_when_it_is_whole() {
        let mut inbox = Inbox::default();
        let there = ["/1".to_owned()];
        assert_eq!(inbox.unread(&there), there);
        let parts = sms("+34600111222", 2).verdict(&allowed());
        inbox.read("/1", parts);
        assert!(!inbox.wakes(Duration::ZERO));
        assert_eq!(inbox.unread(&there), there);
        inbox.read("/1", sms("+34600111222", 3).verdict(&allowed()));
        assert!(inbox.wakes(Duration::ZERO));
        // It may not be possible to delete it: it wakes once only.
        assert!(inbox.unread(&there).is_empty());
        assert!(!inbox.wakes(Duration::from_secs(999)));
    }

    #[test]
    fn a_thousand_messages_wake_once_a_minute() {
        let mut inbox = Inbox::default();
        let second = Duration::from_secs(1);
        let mut wakes = Vec::new();
        for now in 0..150 {
            let path = format!("/{now}");
            assert_eq!(
                inbox.unread(std::slice::from_ref(&path)),
                std::slice::from_ref(&path)
            );
            inbox.read(&path, Verdict::Wakes);
            if inbox.wakes(now * second) {
                wakes.push(now);
            }
        }
        assert_eq!(wakes, [0, 60, 120]);
        assert_eq!(
            inbox.due(),
            Some(180 * second),
            "the last ones are not lost"
        );
        assert_eq!(inbox.seen.len(), 1);
    }

    #[test]
    fn a_full_store_is_read_in_turns() {
        let mut inbox = Inbox::default();
        let there: Vec<_> = (0..20).map(|n| format!("/{n:02}")).collect();
        let mut read = 0;
        while let Some(path) = inbox.unread(&there).first().cloned() {
            inbox.read(&path, Verdict::Stays);
            read += 1;
        }
        assert_eq!(read, 20);
        assert!(!inbox.has_new(&there));
    }

    #[test]
    fn parts_that_never_come_do_not_hold_others_up() {
        let mut inbox = Inbox::default();
        let mut there: Vec<_> = (0..READS_MAX).map(|n| format!("/{n}")).collect();
        for path in inbox.unread(&there) {
            inbox.read(&path, Verdict::Later);
        }
        there.push("/new".into());
        assert_eq!(inbox.unread(&there)[0], "/new");
    }
}
