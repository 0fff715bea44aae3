//! How one server sees the tree. The only place that turns addresses into wire paths and back.

use lamplighter_model::{Address, InstancePath, Path, Scope};

use crate::reject::Reject;

/// A server's view of the tree.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum View {
    /// The box and everything behind it as one tree.
    #[default]
    Flat,
}

impl View {
    /// The scopes that are announced to this server.
    pub(crate) const fn scopes(self) -> [Scope; 1] {
        match self {
            Self::Flat => [Scope::Gateway],
        }
    }

    /// What a request's Uri-Path options name.
    pub(crate) fn address(self, segments: &[String]) -> Result<Address, Reject> {
        match self {
            Self::Flat => Ok(Address {
                scope: Scope::Gateway,
                path: path(segments)?,
            }),
        }
    }

    /// What an address is called on the wire.
    pub(crate) const fn wire(self, address: Address) -> Path {
        match self {
            Self::Flat => address.path,
        }
    }

    /// The Location-Path of an instance that was made.
    pub(crate) fn location(self, scope: Scope, instance: InstancePath) -> Vec<String> {
        let wire = self.wire(Address {
            scope,
            path: instance.into(),
        });
        let text = wire.to_string();
        text.split('/').skip(1).map(str::to_owned).collect()
    }

    /// What stands in front of names inside payloads about this scope.
    pub(crate) const fn prefix(self, _scope: Scope) -> &'static str {
        match self {
            Self::Flat => "",
        }
    }
}

fn path(segments: &[String]) -> Result<Path, Reject> {
    if segments.len() > 4 {
        return Err(Reject::method_not_allowed("the path has too many segments"));
    }
    let mut ids = [0; 4];
    for (id, segment) in ids.iter_mut().zip(segments) {
        *id = parse_id(segment)?;
    }
    Path::from_ids(&ids[..segments.len()])
        .ok_or_else(|| Reject::not_found("65535 is not an instance"))
}

/// Decimal, no leading zeros.
fn parse_id(segment: &str) -> Result<u16, Reject> {
    if segment.is_empty() {
        return Err(Reject::bad_request("a path segment is empty"));
    }
    let plain = segment.bytes().all(|byte| byte.is_ascii_digit())
        && (segment.len() == 1 || !segment.starts_with('0'));
    let id = plain.then(|| segment.parse().ok()).flatten();
    id.ok_or_else(|| Reject::not_found("a path segment is not an id"))
}

#[cfg(test)]
mod tests {
    use lamplighter_coap::Code;

    use super::*;

    fn address(segments: &[&str]) -> Result<String, Code> {
        let segments: Vec<String> = segments
            .iter()
            .map(|segment| (*segment).to_owned())
            .collect();
        View::Flat
            .address(&segments)
            .map(|address| address.to_string())
            .map_err(|reject| reject.code)
    }

    #[test]
    fn segments_are_ids_and_nothing_else() {
        assert_eq!(address(&[]), Ok("/".to_owned()));
        assert_eq!(
            address(&["3303", "0", "5700"]),
            Ok("/3303/0/5700".to_owned())
        );
        assert_eq!(address(&["3", "0", "11", "0"]), Ok("/3/0/11/0".to_owned()));
        assert_eq!(address(&["3", ""]), Err(Code::BAD_REQUEST));
        assert_eq!(address(&["3/0"]), Err(Code::NOT_FOUND));
        assert_eq!(address(&["d01", "3"]), Err(Code::NOT_FOUND));
        assert_eq!(address(&["03"]), Err(Code::NOT_FOUND));
        assert_eq!(address(&["65535"]), Err(Code::NOT_FOUND));
        assert_eq!(
            address(&["1", "2", "3", "4", "5"]),
            Err(Code::METHOD_NOT_ALLOWED)
        );
    }
}
