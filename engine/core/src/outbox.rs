//! What one `step` caused, in order: commands, notes, the state hash. Each becomes a derived frame of its cause.
use tercel_event::{Body, Command, FrameFlags, FrameHeader, FrameKind, HEADER_LEN, Note, StateHash, sources};
use tercel_types::{SourceId, TimeNs};

/// One consequence of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Derived {
    Command(Command),
    Note(Note),
    StateHash(StateHash),
}

impl Derived {
    pub fn kind(&self) -> FrameKind {
        match self {
            Self::Command(_) => FrameKind::Command,
            Self::Note(_) => FrameKind::Note,
            Self::StateHash(_) => FrameKind::StateHash,
        }
    }

    /// The body of the frame.
    #[inline]
    pub fn body(&self) -> &[u8] {
        match self {
            Self::Command(body) => bytemuck::bytes_of(body),
            Self::Note(body) => bytemuck::bytes_of(body),
            Self::StateHash(body) => bytemuck::bytes_of(body),
        }
    }

    /// The header of the frame that is number `index` of those derived from the cause `seq`, sequenced at `ts_seq`.
    pub fn header(&self, index: u64, seq: u64, ts_seq: TimeNs) -> FrameHeader {
        match self {
            Self::Command(_) => Self::header_of::<Command>(index, seq, ts_seq),
            Self::Note(_) => Self::header_of::<Note>(index, seq, ts_seq),
            Self::StateHash(_) => Self::header_of::<StateHash>(index, seq, ts_seq),
        }
    }

    #[inline]
    pub(crate) fn header_of<B: Body>(index: u64, seq: u64, ts_seq: TimeNs) -> FrameHeader {
        FrameHeader {
            len: (HEADER_LEN + size_of::<B>()) as u32,
            kind: B::KIND as u16,
            flags: FrameFlags::DERIVED,
            src: sources::CORE,
            seq,
            ts_seq,
            src_seq: index,
        }
    }
}

/// Preallocated; cleared at the start of each `step`.
#[derive(Clone, Debug)]
pub struct Outbox {
    /// The first `len` are filled; the others are there so that an item is written in place and not copied in.
    slots: Vec<Derived>,
    len: usize,
    commands_count: u16,
}

const EMPTY: Derived = Derived::StateHash(StateHash { commands: 0, orders: 0, positions: 0, books: 0 });

impl Outbox {
    pub fn with_capacity(items: usize) -> Self {
        Self { slots: vec![EMPTY; items], len: 0, commands_count: 0 }
    }

    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
        self.commands_count = 0;
    }

    #[inline]
    pub fn items(&self) -> &[Derived] {
        &self.slots[..self.len]
    }

    #[inline]
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.items().iter().filter_map(|item| match item {
            Derived::Command(command) => Some(command),
            _ => None,
        })
    }

    /// Adds a command and gives it its index within the frame.
    #[inline]
    pub(crate) fn push_command(&mut self, command: &mut Command) {
        command.index = self.commands_count;
        self.commands_count = self.commands_count.saturating_add(1);
        *self.next() = Derived::Command(*command);
    }

    #[inline]
    pub(crate) fn push_note(&mut self, note: Note) {
        *self.next() = Derived::Note(note);
    }

    #[inline]
    pub(crate) fn push_hash(&mut self, hash: StateHash) {
        *self.next() = Derived::StateHash(hash);
    }

    /// The slot of one more item.
    #[inline]
    fn next(&mut self) -> &mut Derived {
        if self.len == self.slots.len() {
            self.grow();
        }
        self.len += 1;
        &mut self.slots[self.len - 1]
    }

    #[cold]
    fn grow(&mut self) {
        self.slots.push(EMPTY);
    }
}

/// Commands of one or several frames on their way to the gateways. Preallocated; the caller drains and clears it.
#[derive(Clone, Debug, Default)]
pub struct CommandBatch {
    commands: Vec<Command>,
}

impl CommandBatch {
    pub fn with_capacity(commands: usize) -> Self {
        Self { commands: Vec::with_capacity(commands) }
    }

    #[inline]
    pub fn as_slice(&self) -> &[Command] {
        &self.commands
    }

    #[inline]
    pub fn clear(&mut self) {
        self.commands.clear();
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Commands for one gateway, in order.
    #[inline]
    pub fn for_dest(&self, dest: SourceId) -> impl Iterator<Item = &Command> {
        self.commands.iter().filter(move |command| command.dest == dest)
    }

    #[inline]
    pub(crate) fn push(&mut self, command: &Command) {
        // Copied once: `push` would take it through the stack.
        self.commands.extend_from_slice(core::slice::from_ref(command));
    }
}
