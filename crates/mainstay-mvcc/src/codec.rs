//! Commands as the log and the wire hold them: a version, then postcard.
//!
//! What was written once is read for ever: a variant is added at the end, a field never, and what cannot be said so gets
//! another version. Bytes that nobody vouches for are read in bounded depth.

use std::cell::Cell;

use serde::{Deserialize, Deserializer};

use crate::check::DEPTH_MAX;
use crate::command::{Command, Txn};

const VERSION: u8 = 1;

/// Bytes that are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    /// They are of a version that this program does not know.
    #[error("version {0} is not known here: it was written by a later mainstay")]
    Version(u8),
    /// They cannot be read.
    #[error("damaged: {0}")]
    Bytes(&'static str),
}

impl Command {
    /// Writes the command at the end of `to`.
    pub fn encode(&self, to: &mut Vec<u8>) {
        to.push(VERSION);
        // Memory that grows has no end that could be reached.
        if let Ok(written) = postcard::to_extend(self, std::mem::take(to)) {
            *to = written;
        }
    }

    /// Reads what [`Command::encode`] wrote, and nothing more.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let (version, bytes) = bytes.split_first().ok_or(Damaged::Bytes("an empty command"))?;
        if *version != VERSION {
            return Err(Damaged::Version(*version));
        }
        match postcard::take_from_bytes(bytes) {
            Ok((command, [])) => Ok(command),
            Ok(_) => Err(Damaged::Bytes("a command with something after it")),
            Err(_) => Err(Damaged::Bytes("a command that is cut or is none")),
        }
    }
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

struct Deeper;

impl Drop for Deeper {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// Reads a transaction that lies in another: no deeper than one may, lest bytes take more stack than there is.
pub(crate) fn deeper<'de, D: Deserializer<'de>>(from: D) -> Result<Txn, D::Error> {
    DEPTH.set(DEPTH.get() + 1);
    let _deeper = Deeper;
    if DEPTH.get() >= DEPTH_MAX {
        return Err(serde::de::Error::custom("too deep"));
    }
    Txn::deserialize(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Compare, Delete, Op, Put, Refused, Relation, Target};
    use crate::read::{Order, Range, SortBy};
    use crate::span::{End, Span};

    fn encoded(command: &Command) -> Vec<u8> {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        bytes
    }

    fn nested(depth: usize) -> Command {
        let within = |txn| Txn { then: vec![Op::Txn(txn)], ..Txn::default() };
        Command::Txn((1..depth).fold(Txn::default(), |txn, _| within(txn)))
    }

    fn every_kind() -> Vec<Command> {
        let put = Put { key: "k".into(), value: Some("v".into()), lease: Some(7), previous: true };
        let delete = |end| Delete { span: Span { from: "a".into(), end }, previous: false };
        let compare = |relation, target| Compare { span: Span::key("k"), relation, target };
        let when = vec![
            compare(Relation::Equal, Target::Version(1)),
            compare(Relation::Greater, Target::Create(2)),
            compare(Relation::Less, Target::Mod(3)),
            compare(Relation::NotEqual, Target::Value("v".into())),
            compare(Relation::Equal, Target::Lease(-1)),
        ];
        let range = Range { limit: 5, order: Some((SortBy::Value, Order::Descending)), ..Range::all(Span::key("k")) };
        vec![
            Command::Put(put.clone()),
            Command::Put(Put { value: None, lease: None, previous: false, ..put.clone() }),
            Command::Delete(delete(End::Single)),
            Command::Delete(delete(End::Before("b".into()))),
            Command::Delete(delete(End::Open)),
            Command::Txn(Txn {
                when,
                then: vec![Op::Range(range), Op::Put(put), Op::Delete(delete(End::Open))],
                otherwise: vec![Op::Txn(Txn::default())],
            }),
            Command::Compact(300),
            Command::Grant { id: -2, ttl: 60 },
            Command::Revoke(9),
            Command::Expire(vec![1, 2]),
        ]
    }

    #[test]
    fn what_was_written_once_is_read_for_ever() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let golden = [
            "0100016b010176010e01",
            "0100016b000000",
            "010101610000",
            "01010161010162 00",
            "010101610200",
            "0102 05016b000000 02016b000101 04016b000202 06016b0003030176 016b00000401 \
             03 00016b00000a010401000000000000 01016b010176010e01 0201610200 \
             01 03000000",
            "0103d804",
            "01040378",
            "010512",
            "0106020204",
        ];
        for (command, golden) in every_kind().iter().zip(golden) {
            let bytes = encoded(command);
            assert_eq!(hex(&bytes), golden.replace(' ', ""), "{command:?}");
            assert_eq!(Command::decode(&bytes).as_ref(), Ok(command));
        }
    }

    #[test]
    fn bytes_that_are_cut_or_go_on_are_no_command() {
        for command in every_kind() {
            let bytes = encoded(&command);
            for len in 0..bytes.len() {
                assert!(Command::decode(&bytes[..len]).is_err());
            }
            assert!(Command::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        assert_eq!(Command::decode(&[9, 0]), Err(Damaged::Version(9)));
    }

    #[test]
    fn a_transaction_is_read_as_deep_as_it_is_carried_out_and_no_deeper() {
        let deepest = nested(DEPTH_MAX);
        assert_eq!((deepest.check(), Command::decode(&encoded(&deepest))), (Ok(()), Ok(deepest)));
        let deeper = nested(DEPTH_MAX + 1);
        assert_eq!(deeper.check(), Err(Refused::TooDeep));
        assert!(Command::decode(&encoded(&deeper)).is_err());
        let hole: Vec<u8> = [1, 2].into_iter().chain([0, 1, 3].repeat(1 << 20)).collect();
        assert!(Command::decode(&hole).is_err(), "a million transactions within each other");
        assert!(Command::decode(&encoded(&nested(DEPTH_MAX))).is_ok(), "nothing of it is left behind");
    }
}
