//! All data of a store as one file, as `etcdctl snapshot save` fetches and checks it.
//!
//! The file is blocks of 512 bytes and, behind them, the SHA-256 of all before it: a client takes it for whole when its
//! length says so. The first block names the format. Then come the pieces of the data, each with its length before it in
//! four bytes, the least significant first; a length of zero ends them, and zeros fill the last block.

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

/// What the first block begins with.
const FORMAT: &[u8] = b"mainstay store 1\n";

const BLOCK: usize = 512;

/// How much is sent at once, as etcd does.
const SENT_AT_ONCE: usize = 32 << 10;

/// A file that is on its way.
#[derive(Debug)]
pub(crate) struct Saved {
    pieces: mpsc::Receiver<Vec<u8>>,
    waiting: BytesMut,
    sum: Sha256,
    written: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pieces,
    Sum,
    Over,
}

impl Saved {
    /// The file of these pieces.
    pub(crate) fn new(pieces: mpsc::Receiver<Vec<u8>>) -> Self {
        let mut waiting = BytesMut::from(FORMAT);
        waiting.resize(BLOCK, 0);
        Self { pieces, written: waiting.len(), waiting, sum: Sha256::new(), state: State::Pieces }
    }

    /// The next bytes of it; none at its end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        while self.state == State::Pieces && self.waiting.len() < SENT_AT_ONCE {
            match self.pieces.recv().await {
                Some(piece) => self.put(&piece),
                None => {
                    self.put(&[]);
                    let fill = self.written.next_multiple_of(BLOCK) - self.written;
                    self.waiting.put_bytes(0, fill);
                    self.state = State::Sum;
                }
            }
        }
        if !self.waiting.is_empty() {
            let now = self.waiting.split_to(self.waiting.len().min(SENT_AT_ONCE)).freeze();
            self.sum.update(&now);
            return Some(now);
        }
        if self.state == State::Over {
            return None;
        }
        self.state = State::Over;
        Some(Bytes::copy_from_slice(&self.sum.clone().finalize()))
    }

    fn put(&mut self, piece: &[u8]) {
        self.waiting.put_u32_le(u32::try_from(piece.len()).unwrap_or(u32::MAX));
        self.waiting.put_slice(piece);
        self.written += 4 + piece.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_saved_file_is_blocks_and_the_checksum_of_them() {
        for lengths in [vec![], vec![1], vec![100_000, 5, 40_000]] {
            let (sender, pieces) = mpsc::channel(8);
            for length in &lengths {
                sender.send(vec![7; *length]).await.unwrap();
            }
            drop(sender);
            let (mut saved, mut file) = (Saved::new(pieces), Vec::new());
            while let Some(some) = saved.next().await {
                assert!(some.len() <= SENT_AT_ONCE);
                file.extend_from_slice(&some);
            }
            assert_eq!(file.len() % BLOCK, 32, "etcdctl takes it for whole by this");
            let (content, sum) = file.split_at(file.len() - 32);
            assert_eq!(sum, &Sha256::digest(content)[..]);
            let mut at = BLOCK;
            for length in lengths {
                assert_eq!(content[at..at + 4], u32::try_from(length).unwrap().to_le_bytes());
                at += 4 + length;
            }
            assert!(content[at..].iter().all(|byte| *byte == 0));
        }
    }
}
