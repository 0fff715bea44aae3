//! Content formats. An input is a line `[PREFIX ]PATH` and the payload about it.

use std::sync::LazyLock;

use lamplighter_lwm2m::format::{
    Content, ContentFormat, Decoded, Node, UNASSIGNED, decode, decode_paths, encode, encode_paths,
    link,
};
use lamplighter_model::{Path, object::Definitions, tables};

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(tables::standard);

/// Decodes; what was decoded and written says the same when it is read again: it is written as the
/// same bytes. (Numbers without a definition may be of another type of number.)
pub(crate) fn check(format: ContentFormat, bytes: &[u8]) {
    let (prefix, target, payload) = split(bytes);
    let Ok(decoded) = decode(format, target, prefix, payload, &DEFINITIONS) else {
        return;
    };
    let nodes = in_order(decoded);
    // A Create leaves the id to the client; nobody writes such an instance.
    if nodes
        .iter()
        .any(|node| node.path.instance.instance == UNASSIGNED)
    {
        return;
    }
    let Ok(written) = encode(format, target, prefix, &nodes, &DEFINITIONS) else {
        return;
    };
    let again = match decode(format, target, prefix, &written, &DEFINITIONS) {
        Ok(again) => in_order(again),
        // A single value that is not there cannot be written.
        Err(_) if nodes.is_empty() => return,
        Err(error) => panic!("{nodes:?} was written as {written:?}: {error}"),
    };
    let written_again = encode(format, target, prefix, &again, &DEFINITIONS);
    assert_eq!(written_again, Ok(written), "{nodes:?} became {again:?}");
}

/// The bodies of composite requests: first byte the format, then the payload.
pub(crate) fn paths(bytes: &[u8]) {
    let (first, payload) = bytes.split_first().unwrap_or((&0, &[]));
    let format = match first % 4 {
        0 => ContentFormat::SenmlJson,
        1 => ContentFormat::SenmlCbor,
        2 => ContentFormat::SenmlEtchJson,
        _ => ContentFormat::SenmlEtchCbor,
    };
    let prefix = if first & 0x80 == 0 { "" } else { "/d01" };
    let Ok(paths) = decode_paths(format, prefix, payload) else {
        return;
    };
    let written = encode_paths(format, prefix, &paths).expect("the format has such bodies");
    assert_eq!(decode_paths(format, prefix, &written), Ok(paths));
}

/// CoRE links.
pub(crate) fn links(bytes: &[u8]) {
    let Ok(links) = link::parse(bytes) else {
        return;
    };
    let written = link::write(&links);
    assert_eq!(link::parse(written.as_bytes()), Ok(links), "{written}");
}

fn split(bytes: &[u8]) -> (&'static str, Path, &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, payload) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 1..]));
    let line = std::str::from_utf8(line).unwrap_or_default();
    let (prefix, path) = match line.strip_prefix("/d01 ") {
        Some(path) => ("/d01", path),
        None => ("", line),
    };
    (prefix, path.parse().unwrap_or(Path::Root), payload)
}

/// What every format can say, and an order in which the nodes of an instance stand together.
fn in_order(decoded: Decoded) -> Vec<Node> {
    let mut nodes = decoded.nodes;
    nodes.retain(|node| match &node.content {
        Content::Multiple(values) => !values.is_empty(),
        Content::Single(_) => true,
    });
    nodes.sort_by_key(|node| node.path);
    nodes
}
