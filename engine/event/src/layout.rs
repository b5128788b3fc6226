//! The frame reference as data, from which `docs/reference/event.md` is generated and checked.
use crate::frame::FrameKind;

#[derive(Clone, Debug)]
pub struct FieldLayout {
    pub name: &'static str,
    pub ty: &'static str,
    /// Bytes from the start of the body.
    pub offset: usize,
    pub len: usize,
    pub doc: &'static str,
}

#[derive(Clone, Debug)]
pub struct BodyLayout {
    pub kind: FrameKind,
    pub name: &'static str,
    pub doc: &'static str,
    pub len: usize,
    pub fields: Vec<FieldLayout>,
}

/// Every body, in the order of the source.
pub fn describe() -> Vec<BodyLayout> {
    crate::body::field_tables()
}

/// Every table of codes: name, then (number, word).
pub fn codes() -> Vec<(&'static str, Vec<(u64, &'static str)>)> {
    crate::body::code_tables()
}
