//! CoRE links (40): what Register and Discover list (RFC 6690, Core 1.2 annex on attributes).

use std::fmt;

use super::{DecodeError, DecodeErrorKind};

/// Links that one payload may hold.
const MAX_LINKS: usize = super::MAX_VALUES;

/// One link with its attributes, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Link {
    /// What stands between `<` and `>`: `/3303/0`, with alternative root or prefix in front.
    pub target: String,
    pub attributes: Vec<Attribute>,
}

/// `name`, `name=value` or `name="value"`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attribute {
    pub name: String,
    pub value: AttributeValue,
}

/// What follows the name of an attribute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AttributeValue {
    Flag,
    /// Without quotes: numbers, and `ver` since LwM2M 1.1.
    Plain(String),
    Quoted(String),
}

impl Link {
    /// A link to what prints as a path.
    pub fn new(target: impl fmt::Display) -> Self {
        Self {
            target: target.to_string(),
            attributes: Vec::new(),
        }
    }

    /// Adds an attribute without quotes: `dim`, `pmin`, `pmax`, `ssid`, `ver` since 1.1.
    pub fn plain(mut self, name: &str, value: impl fmt::Display) -> Self {
        let value = AttributeValue::Plain(value.to_string());
        self.attributes.push(Attribute {
            name: name.to_owned(),
            value,
        });
        self
    }

    /// Adds an attribute in quotes: `rt`, `uri`, `ver` in LwM2M 1.0.
    pub fn quoted(mut self, name: &str, value: impl fmt::Display) -> Self {
        let value = AttributeValue::Quoted(value.to_string());
        self.attributes.push(Attribute {
            name: name.to_owned(),
            value,
        });
        self
    }

    /// Adds a number in plain digits: `gt`, `lt`, `st`. The grammar knows no exponent.
    pub fn number(self, name: &str, value: f64) -> Self {
        self.plain(name, value)
    }

    /// Adds `ct`: one number bare, several in quotes.
    pub fn content_formats(self, numbers: &[u16]) -> Self {
        match numbers {
            [] => self,
            [number] => self.plain("ct", number),
            numbers => {
                let numbers: Vec<_> = numbers.iter().map(u16::to_string).collect();
                self.quoted("ct", numbers.join(" "))
            }
        }
    }

    /// The text of an attribute, quoted or not; empty for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let attribute = self
            .attributes
            .iter()
            .find(|attribute| attribute.name == name)?;
        Some(match &attribute.value {
            AttributeValue::Flag => "",
            AttributeValue::Plain(text) | AttributeValue::Quoted(text) => text,
        })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.target)?;
        for Attribute { name, value } in &self.attributes {
            match value {
                AttributeValue::Flag => write!(f, ";{name}")?,
                AttributeValue::Plain(text) => write!(f, ";{name}={text}")?,
                AttributeValue::Quoted(text) => {
                    write!(
                        f,
                        ";{name}=\"{}\"",
                        text.replace('\\', "\\\\").replace('"', "\\\"")
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// The payload of a Register or of an answer to Discover.
pub fn write(links: &[Link]) -> String {
    let links: Vec<_> = links.iter().map(Link::to_string).collect();
    links.join(",")
}

/// Reads a list of links; blanks around separators are skipped, an empty text is an empty list.
///
/// # Errors
/// Where the text is not a list of links.
pub fn parse(payload: &[u8]) -> Result<Vec<Link>, DecodeError> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| DecodeErrorKind::BadUtf8.at(error.valid_up_to()))?;
    let mut parser = Parser { text, at: 0 };
    let mut links = Vec::new();
    parser.blanks();
    if parser.at == text.len() {
        return Ok(links);
    }
    loop {
        if links.len() == MAX_LINKS {
            return Err(DecodeErrorKind::TooLarge.at(parser.at));
        }
        links.push(parser.link()?);
        if parser.at == text.len() {
            return Ok(links);
        }
        parser.expect(',')?;
        parser.blanks();
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn link(&mut self) -> Result<Link, DecodeError> {
        self.expect('<')?;
        let target = self.until(|c| c == '>').to_owned();
        self.expect('>')?;
        let mut attributes = Vec::new();
        self.blanks();
        while self.accept(';') {
            self.blanks();
            attributes.push(self.attribute()?);
            self.blanks();
        }
        Ok(Link { target, attributes })
    }

    fn attribute(&mut self) -> Result<Attribute, DecodeError> {
        let name = self
            .until(|c| matches!(c, '=' | ';' | ',' | ' ' | '"' | '<' | '>'))
            .to_owned();
        if name.is_empty() {
            return Err(self.error());
        }
        self.blanks();
        if !self.accept('=') {
            return Ok(Attribute {
                name,
                value: AttributeValue::Flag,
            });
        }
        self.blanks();
        if self.accept('"') {
            return Ok(Attribute {
                name,
                value: AttributeValue::Quoted(self.quoted()?),
            });
        }
        let value = self
            .until(|c| matches!(c, ';' | ',' | ' ' | '"'))
            .to_owned();
        if value.is_empty() {
            return Err(self.error());
        }
        Ok(Attribute {
            name,
            value: AttributeValue::Plain(value),
        })
    }

    /// The rest of a quoted text, its end taken.
    fn quoted(&mut self) -> Result<String, DecodeError> {
        let mut value = String::new();
        let mut characters = self.text[self.at..].char_indices();
        while let Some((offset, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += offset + 1;
                    return Ok(value);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                character => value.push(character),
            }
        }
        Err(DecodeErrorKind::Truncated.at(self.text.len()))
    }

    fn until(&mut self, stop: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let part = &rest[..rest.find(stop).unwrap_or(rest.len())];
        self.at += part.len();
        part
    }

    fn blanks(&mut self) {
        self.until(|c| !matches!(c, ' ' | '\t' | '\r' | '\n'));
    }

    fn accept(&mut self, wanted: char) -> bool {
        let found = self.text[self.at..].starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), DecodeError> {
        if self.accept(wanted) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    fn error(&self) -> DecodeError {
        let kind = if self.at == self.text.len() {
            DecodeErrorKind::Truncated
        } else {
            DecodeErrorKind::Syntax
        };
        kind.at(self.at)
    }
}
