//! Object definitions as OMA publishes them (XML, "DDF"): read at run time, and written for servers
//! that need our objects.

use std::{collections::BTreeMap, fmt};

use roxmltree::{Document, Node, ParsingOptions};

use crate::{
    DataType, ObjectId, ResourceId,
    address::MAX_ID,
    object::{Definitions, Multiplicity, ObjectDef, Operations, ResourceDef, Version},
};

/// Elements that one file may hold; the largest of the registry has some thousand.
const MAX_NODES: u32 = 200_000;

/// Why a file is not a list of object definitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct XmlError {
    pub kind: XmlErrorKind,
    /// Counted from 1.
    pub line: u32,
}

/// What is wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum XmlErrorKind {
    /// An element or attribute has none of its permitted values.
    BadValue(&'static str),
    /// The same resource twice.
    Duplicate,
    /// An element or attribute is not there.
    Missing(&'static str),
    /// The root element is another, or there is no object in it.
    NotADefinition,
    /// Not well-formed XML, with the parser's words.
    Syntax(String),
}

/// Reads the definitions of one file.
///
/// # Errors
/// The first thing that does not fit the standard's form, with its line.
pub fn read(text: &str) -> Result<Vec<ObjectDef>, XmlError> {
    let options = ParsingOptions {
        nodes_limit: MAX_NODES,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(text, options).map_err(|error| XmlError {
        line: error.pos().row,
        kind: XmlErrorKind::Syntax(error.to_string()),
    })?;
    let root = document.root_element();
    let objects: Vec<_> = children(root, "Object")
        .map(object)
        .collect::<Result<_, _>>()?;
    if root.has_tag_name("LWM2M") && !objects.is_empty() {
        Ok(objects)
    } else {
        Err(error(root, XmlErrorKind::NotADefinition))
    }
}

/// The definition as a file that servers load.
pub fn write(object: &ObjectDef) -> String {
    let needs_1_1 = object
        .resources
        .values()
        .any(|item| matches!(item.data_type, DataType::Corelnk | DataType::Unsigned));
    let (schema, enabler) = if needs_1_1 {
        ("LWM2M-v1_1.xsd", "1.1")
    } else {
        ("LWM2M.xsd", "1.0")
    };
    let mut out = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<LWM2M xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.openmobilealliance.org/tech/profiles/{schema}">
  <Object ObjectType="MODefinition">
    <Name>{name}</Name>
    <Description1></Description1>
    <ObjectID>{id}</ObjectID>
    <ObjectURN>{urn}</ObjectURN>
    <LWM2MVersion>{enabler}</LWM2MVersion>
    <ObjectVersion>{version}</ObjectVersion>
    <MultipleInstances>{multiple}</MultipleInstances>
    <Mandatory>{mandatory}</Mandatory>
    <Resources>
"#,
        name = escaped(&object.name),
        id = object.id,
        urn = urn(object),
        version = object.version,
        multiple = multiplicity_word(object.multiplicity),
        mandatory = mandatory_word(object.mandatory),
    );
    object
        .resources
        .values()
        .for_each(|item| write_resource(&mut out, item));
    out.push_str("    </Resources>\n    <Description2></Description2>\n  </Object>\n</LWM2M>\n");
    out
}

/// File names and contents of all `definitions`.
pub fn files(definitions: &Definitions) -> impl Iterator<Item = (String, String)> {
    definitions
        .iter()
        .map(|object| (format!("{}.xml", object.id), write(object)))
}

fn write_resource(out: &mut String, item: &ResourceDef) {
    let range = item
        .range
        .map(|(low, high)| format!("{low}..{high}"))
        .unwrap_or_default();
    out.push_str(&format!(
        r#"      <Item ID="{id}">
        <Name>{name}</Name>
        <Operations>{operations}</Operations>
        <MultipleInstances>{multiple}</MultipleInstances>
        <Mandatory>{mandatory}</Mandatory>
        <Type>{data_type}</Type>
        <RangeEnumeration>{range}</RangeEnumeration>
        <Units>{unit}</Units>
        <Description></Description>
      </Item>
"#,
        id = item.id,
        name = escaped(&item.name),
        operations = operations_word(item.operations),
        multiple = multiplicity_word(item.multiplicity),
        mandatory = mandatory_word(item.mandatory),
        data_type = data_type_word(item.data_type),
        unit = escaped(&item.unit),
    ));
}

fn object(node: Node<'_, '_>) -> Result<ObjectDef, XmlError> {
    let mut resources = BTreeMap::new();
    for item in children(child(node, "Resources")?, "Item") {
        let resource = resource(item)?;
        if resources.insert(resource.id, resource).is_some() {
            return Err(error(item, XmlErrorKind::Duplicate));
        }
    }
    // Files of LwM2M 1.0 have no version: it is 1.0 then.
    let version = match children(node, "ObjectVersion").next() {
        Some(version) if !text(version).is_empty() => parsed(version, "ObjectVersion")?,
        Some(_) | None => Version::V1_0,
    };
    Ok(ObjectDef {
        id: ObjectId(id(
            node,
            child(node, "ObjectID")?,
            &text(child(node, "ObjectID")?),
        )?),
        name: text(child(node, "Name")?),
        version,
        multiplicity: multiplicity(node)?,
        mandatory: mandatory(node)?,
        resources,
    })
}

fn resource(node: Node<'_, '_>) -> Result<ResourceDef, XmlError> {
    let number = node
        .attribute("ID")
        .ok_or_else(|| error(node, XmlErrorKind::Missing("ID")))?;
    Ok(ResourceDef {
        id: ResourceId(id(node, node, number)?),
        name: text(child(node, "Name")?),
        operations: operations(child(node, "Operations")?)?,
        multiplicity: multiplicity(node)?,
        mandatory: mandatory(node)?,
        data_type: data_type(child(node, "Type")?)?,
        range: optional_text(node, "RangeEnumeration").and_then(|text| range(&text)),
        unit: optional_text(node, "Units").unwrap_or_default(),
    })
}

fn children<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> impl Iterator<Item = Node<'a, 'input>> + use<'a, 'input> {
    node.children()
        .filter(move |child| child.has_tag_name(name))
}

fn child<'a, 'input>(
    node: Node<'a, 'input>,
    name: &'static str,
) -> Result<Node<'a, 'input>, XmlError> {
    children(node, name)
        .next()
        .ok_or_else(|| error(node, XmlErrorKind::Missing(name)))
}

/// The text of an element, blanks collapsed: the registry has line breaks within names.
fn text(node: Node<'_, '_>) -> String {
    node.text()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn optional_text(node: Node<'_, '_>, name: &'static str) -> Option<String> {
    children(node, name).next().map(text)
}

fn error(node: Node<'_, '_>, kind: XmlErrorKind) -> XmlError {
    XmlError {
        line: node.document().text_pos_at(node.range().start).row,
        kind,
    }
}

fn parsed<T: std::str::FromStr>(node: Node<'_, '_>, name: &'static str) -> Result<T, XmlError> {
    text(node)
        .parse()
        .map_err(|_| error(node, XmlErrorKind::BadValue(name)))
}

fn id(parent: Node<'_, '_>, node: Node<'_, '_>, number: &str) -> Result<u16, XmlError> {
    let name = if parent == node { "ID" } else { "ObjectID" };
    match number.trim().parse() {
        Ok(MAX_ID) | Err(_) => Err(error(node, XmlErrorKind::BadValue(name))),
        Ok(id) => Ok(id),
    }
}

fn multiplicity(node: Node<'_, '_>) -> Result<Multiplicity, XmlError> {
    let node = child(node, "MultipleInstances")?;
    match text(node).as_str() {
        "Multiple" => Ok(Multiplicity::Multiple),
        "Single" => Ok(Multiplicity::Single),
        _ => Err(error(node, XmlErrorKind::BadValue("MultipleInstances"))),
    }
}

const fn multiplicity_word(multiplicity: Multiplicity) -> &'static str {
    match multiplicity {
        Multiplicity::Multiple => "Multiple",
        Multiplicity::Single => "Single",
    }
}

fn mandatory(node: Node<'_, '_>) -> Result<bool, XmlError> {
    let node = child(node, "Mandatory")?;
    match text(node).as_str() {
        "Mandatory" => Ok(true),
        "Optional" => Ok(false),
        _ => Err(error(node, XmlErrorKind::BadValue("Mandatory"))),
    }
}

const fn mandatory_word(mandatory: bool) -> &'static str {
    if mandatory { "Mandatory" } else { "Optional" }
}

fn operations(node: Node<'_, '_>) -> Result<Operations, XmlError> {
    match text(node).as_str() {
        "" => Ok(Operations::NONE),
        "E" => Ok(Operations::E),
        "R" => Ok(Operations::R),
        "RW" => Ok(Operations::RW),
        "W" => Ok(Operations::W),
        _ => Err(error(node, XmlErrorKind::BadValue("Operations"))),
    }
}

const fn operations_word(operations: Operations) -> &'static str {
    match (operations.execute, operations.read, operations.write) {
        (true, _, _) => "E",
        (false, true, true) => "RW",
        (false, true, false) => "R",
        (false, false, true) => "W",
        (false, false, false) => "",
    }
}

fn data_type(node: Node<'_, '_>) -> Result<DataType, XmlError> {
    match text(node).as_str() {
        "" => Ok(DataType::None),
        "Boolean" => Ok(DataType::Boolean),
        "Corelnk" => Ok(DataType::Corelnk),
        "Float" => Ok(DataType::Float),
        "Integer" => Ok(DataType::Integer),
        "Objlnk" => Ok(DataType::Objlnk),
        "Opaque" => Ok(DataType::Opaque),
        "String" => Ok(DataType::String),
        "Time" => Ok(DataType::Time),
        "Unsigned Integer" => Ok(DataType::Unsigned),
        _ => Err(error(node, XmlErrorKind::BadValue("Type"))),
    }
}

const fn data_type_word(data_type: DataType) -> &'static str {
    match data_type {
        DataType::Boolean => "Boolean",
        DataType::Corelnk => "Corelnk",
        DataType::Float => "Float",
        DataType::Integer => "Integer",
        DataType::None => "",
        DataType::Objlnk => "Objlnk",
        DataType::Opaque => "Opaque",
        DataType::String => "String",
        DataType::Time => "Time",
        DataType::Unsigned => "Unsigned Integer",
    }
}

/// `-140..-44`, `0..255 bytes`, and `0-255` of old files. Lists and words are for people: no range.
fn range(text: &str) -> Option<(f64, f64)> {
    let text = text
        .strip_suffix("bytes")
        .or_else(|| text.strip_suffix("Bytes"))
        .unwrap_or(text)
        .trim_end();
    let (low, high) = text.split_once("..").or_else(|| text.split_once('-'))?;
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low, high))
}

/// Where the number says who registered the object (Core 1.2, 7.2).
fn urn(object: &ObjectDef) -> String {
    let class = match object.id.0 {
        0..=1023 => "oma",
        1024..=10240 => "ext",
        10241.. => "x",
    };
    if object.version == Version::V1_0 {
        format!("urn:oma:lwm2m:{class}:{}", object.id)
    } else {
        format!("urn:oma:lwm2m:{class}:{}:{}", object.id, object.version)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            XmlErrorKind::BadValue(name) => {
                write!(f, "{name} has a value that the standard does not know")
            }
            XmlErrorKind::Duplicate => f.write_str("the same resource twice"),
            XmlErrorKind::Missing(name) => write!(f, "{name} is missing"),
            XmlErrorKind::NotADefinition => f.write_str("not an LwM2M object definition"),
            XmlErrorKind::Syntax(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for XmlError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables;

    #[test]
    fn what_is_written_reads_back() {
        let mut definitions = tables::standard();
        tables::vendor(42_800)
            .into_iter()
            .for_each(|object| definitions.insert(object));
        let written: Vec<_> = files(&definitions).collect();
        assert!(written.iter().any(|(name, _)| name == "42801.xml"));
        for (object, (_, text)) in definitions.iter().zip(&written) {
            assert_eq!(read(text), Ok(vec![object.as_ref().clone()]));
        }
    }

    #[test]
    fn errors_name_the_line() {
        let good = write(&tables::vendor(42_800)[0]);
        for (from, to, kind, line) in [
            (
                "<Type>Time</Type>",
                "<Type>Date</Type>",
                XmlErrorKind::BadValue("Type"),
                68,
            ),
            (
                "<ObjectID>42800<",
                "<ObjectID>65535<",
                XmlErrorKind::BadValue("ObjectID"),
                6,
            ),
            ("ID=\"1\"", "ID=\"0\"", XmlErrorKind::Duplicate, 23),
            (
                "    <Mandatory>Optional</Mandatory>\n    <R",
                "    <R",
                XmlErrorKind::Missing("Mandatory"),
                3,
            ),
            ("LWM2M", "DDF", XmlErrorKind::NotADefinition, 2),
        ] {
            assert_eq!(
                read(&good.replace(from, to)),
                Err(XmlError { kind, line }),
                "{from}"
            );
        }
        let without_units = good.replace("        <Units>ms</Units>\n", "");
        assert!(read(&without_units).is_ok());
        assert!(matches!(
            read("<LWM2M>"),
            Err(XmlError {
                kind: XmlErrorKind::Syntax(_),
                ..
            })
        ));
    }

    #[test]
    fn ranges_are_numbers_only() {
        for (text, wanted) in [
            ("-140..-44", Some((-140.0, -44.0))),
            ("0..255 bytes", Some((0.0, 255.0))),
            ("0-255 Bytes", Some((0.0, 255.0))),
            ("3.8..20.5", Some((3.8, 20.5))),
            ("10,26", None),
            ("0..247, 255", None),
            ("16-32-48 bytes", None),
            ("8-Bits", None),
            ("9..1", None),
            ("", None),
        ] {
            assert_eq!(range(text), wanted, "{text}");
        }
    }
}
