//! Other byte strings for the same protobuf message: all that the format allows and the canonical form does not.

/// One field as it stands in an encoding.
#[derive(Clone)]
struct Field {
    key: u64,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Number(u64),
    Bytes(Vec<u8>),
}

/// A number no message of this crate uses as a field.
const UNKNOWN_FIELD: u64 = 1_000;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

/// The number with one byte more than it needs.
fn long_varint(number: u64) -> Vec<u8> {
    let mut bytes = varint(number);
    if let Some(last) = bytes.last_mut() {
        *last |= 0x80;
    }
    bytes.push(0);
    bytes
}

impl Field {
    fn encode(&self) -> Vec<u8> {
        self.encode_with(varint, varint)
    }

    fn encode_with(&self, key: fn(u64) -> Vec<u8>, number: fn(u64) -> Vec<u8>) -> Vec<u8> {
        let mut bytes = key(self.key);
        match &self.content {
            Content::Number(value) => bytes.extend(number(*value)),
            Content::Bytes(content) => {
                bytes.extend(number(u64::try_from(content.len()).expect("a length")));
                bytes.extend(content);
            }
        }
        bytes
    }
}

fn read_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for position in 0..10 {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The fields of a message, if the bytes look like one.
fn read_fields(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = read_varint(&mut bytes)?;
        let number = read_varint(&mut bytes)?;
        let content = match key & 7 {
            0 => Content::Number(number),
            2 => {
                let (content, rest) = bytes.split_at_checked(usize::try_from(number).ok()?)?;
                bytes = rest;
                Content::Bytes(content.to_vec())
            }
            _ => return None,
        };
        fields.push(Field { key, content });
    }
    Some(fields)
}

fn join<'a>(fields: impl IntoIterator<Item = &'a Field>) -> Vec<u8> {
    fields.into_iter().flat_map(Field::encode).collect()
}

/// All respellings of an encoding, by one change each, at every depth; each with what was done.
pub fn respellings(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let Some(fields) = read_fields(bytes) else { return Vec::new() };
    let mut found = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let number = field.key >> 3;
        let around = |middle: Vec<u8>| [join(&fields[..i]), middle, join(&fields[i + 1..])].concat();
        let mut add = |what: &str, middle: Vec<u8>| found.push((format!("{what} {number}"), around(middle)));
        add("long key of field", field.encode_with(long_varint, varint));
        add("long number or length in field", field.encode_with(varint, long_varint));
        add("repeated field", [field.encode(), field.encode()].concat());
        add("left out field", Vec::new());
        if let Content::Bytes(content) = &field.content {
            for (what, content) in respellings(content) {
                let inner = Field { content: Content::Bytes(content), ..field.clone() };
                found.push((format!("in field {number}: {what}"), around(inner.encode())));
            }
        }
    }
    for i in 1..fields.len() {
        let mut moved = fields.clone();
        moved.swap(i - 1, i);
        found.push((format!("field {} before the one ahead of it", fields[i].key >> 3), join(&moved)));
    }
    found.extend(added_fields(bytes, &fields));
    found
}

/// The encoding with something more: an explicit default, an unknown field of each wire type, or stray bytes.
fn added_fields(bytes: &[u8], fields: &[Field]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut add = |what: String, more: Vec<u8>| {
        found.push((format!("{what} after"), [bytes, &more].concat()));
        found.push((format!("{what} ahead"), [&more, bytes].concat()));
    };
    for number in (1..=10).filter(|number| fields.iter().all(|field| field.key >> 3 != *number)) {
        add(format!("explicit 0 in field {number}"), [varint(number << 3), vec![0]].concat());
        add(format!("explicit empty bytes in field {number}"), [varint(number << 3 | 2), vec![0]].concat());
    }
    for (wire_type, content) in [(0, vec![1]), (1, vec![1; 8]), (2, vec![1, 1]), (5, vec![1; 4])] {
        let key = varint(UNKNOWN_FIELD << 3 | wire_type);
        add(format!("unknown field of wire type {wire_type}"), [key, content].concat());
    }
    let group = [varint(UNKNOWN_FIELD << 3 | 3), varint(UNKNOWN_FIELD << 3 | 4)].concat();
    add("unknown empty group".into(), group);
    for stray in [0_u8, 1, 0x80, 0xff] {
        add(format!("stray byte {stray}"), vec![stray]);
    }
    found
}
