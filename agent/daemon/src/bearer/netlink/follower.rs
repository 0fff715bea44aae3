//! Keeps a picture up to date: all tables one after the other, and what happens in between.
//!
//! 1. [`Follower::look`]: links, then addresses, then routes are asked for; answers make a new
//!    picture while the old one goes on being used.
//! 2. What the kernel says by itself meanwhile goes into both.
//! 3. At the end of the last table the new picture takes the place of the old one.

use super::{
    picture::{Effect, Picture},
    wire::{self, Content, Message, Table},
};

#[derive(Debug, Default)]
pub(super) struct Follower {
    /// `None` until all tables were read once.
    picture: Option<Picture>,
    look: Option<Look>,
    sequence: u32,
    wants_look: bool,
    is_news: bool,
}

/// Tables being read.
#[derive(Debug)]
struct Look {
    fresh: Picture,
    table: Table,
    is_interrupted: bool,
}

/// What is to be done after a datagram.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Nothing was lost.
    Go,
    /// The next table is to be asked for.
    Ask(Vec<u8>),
    /// Something was lost or refused: begin with another socket.
    Anew(String),
}

impl Follower {
    /// Begins to read all tables; gives the first request.
    pub(super) fn look(&mut self) -> Vec<u8> {
        self.wants_look = false;
        self.look = Some(Look {
            fresh: Picture::default(),
            table: Table::Links,
            is_interrupted: false,
        });
        self.ask(Table::Links)
    }

    /// Whether the tables should be read again soon.
    pub(super) fn wants_look(&self) -> bool {
        self.wants_look && self.look.is_none()
    }

    /// Whether tables are being read.
    pub(super) fn is_looking(&self) -> bool {
        self.look.is_some()
    }

    /// `None` until it is known whole.
    pub(super) fn picture(&self) -> Option<&Picture> {
        self.picture.as_ref()
    }

    /// The picture, where it is not the one that was given here last.
    pub(super) fn news(&mut self) -> Option<&Picture> {
        let is_news = std::mem::take(&mut self.is_news);
        self.picture.as_ref().filter(|_| is_news)
    }

    pub(super) fn handle(&mut self, datagram: &[u8]) -> Next {
        let mut next = Next::Go;
        for message in wire::messages(datagram) {
            match self.on_message(&message) {
                Next::Go => (),
                Next::Ask(request) => next = Next::Ask(request),
                Next::Anew(why) => return Next::Anew(why),
            }
        }
        next
    }

    fn on_message(&mut self, message: &Message) -> Next {
        let is_answer = message.sequence == self.sequence;
        match &message.content {
            Content::Done if is_answer => self.on_done(message.is_interrupted),
            Content::Failed(errno) if is_answer && *errno != 0 => {
                Next::Anew(format!("a table was refused with error {errno}"))
            }
            Content::Overrun => Next::Anew("messages were lost".to_owned()),
            Content::Done | Content::Failed(_) => Next::Go,
            content @ (Content::Address(_)
            | Content::AddressGone(_)
            | Content::Link(_)
            | Content::LinkGone(_)
            | Content::Other
            | Content::Routes { .. }
            | Content::RoutesGone(_)) => {
                self.on_content(content, is_answer, message.is_interrupted);
                Next::Go
            }
        }
    }

    fn on_content(&mut self, content: &Content, is_answer: bool, is_interrupted: bool) {
        let mut effect = Effect::None;
        if let Some(look) = &mut self.look {
            effect = look.fresh.apply(content);
            look.is_interrupted |= is_interrupted && is_answer;
        }
        // Answers are as old as the request; the old picture has had the news since.
        if is_answer {
            return;
        }
        if let Some(picture) = &mut self.picture {
            let changed = picture.apply(content);
            self.is_news |= changed != Effect::None;
            effect = effect.max(changed);
        }
        self.wants_look |= effect == Effect::Doubtful;
    }

    fn on_done(&mut self, is_interrupted: bool) -> Next {
        let Some(mut look) = self.look.take() else {
            return Next::Go;
        };
        look.is_interrupted |= is_interrupted;
        let following = match look.table {
            Table::Links => Table::Addresses,
            Table::Addresses => Table::Routes,
            Table::Routes => {
                self.wants_look |= look.is_interrupted;
                // Also where nothing has changed: a day, or a month of bytes, may have ended meanwhile.
                self.is_news = true;
                self.picture = Some(look.fresh);
                return Next::Go;
            }
        };
        look.table = following;
        self.look = Some(look);
        Next::Ask(self.ask(following))
    }

    fn ask(&mut self, table: Table) -> Vec<u8> {
        // Zero is what the kernel says by itself.
        self.sequence = self.sequence.wrapping_add(1).max(1);
        wire::request(table, self.sequence)
    }
}
