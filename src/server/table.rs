//! A worker's connections by token, where a token names one connection and never its successor.
//!
//! ```text
//!   token  63            32 31             0
//!         ┌────────────────┬────────────────┐
//!         │   generation   │   slot index   │
//!         └────────────────┴────────────────┘
//! ```
//!
//! Events and the ready list hold tokens of connections that may have closed since, and whose
//! slot may serve another by then. The generation tells them apart.

use crate::server::mailbox::WAKE;
use mio::Token;

/// Values in numbered slots that are used again.
#[derive(Debug)]
pub(crate) struct TokenTable<T> {
    slots: Vec<Holder<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Holder<T> {
    generation: u32,
    /// Boxed, so that a slot that once held a connection costs 16 bytes when it holds none.
    value: Option<Box<T>>,
}

impl<T> Default for TokenTable<T> {
    fn default() -> Self {
        Self {
            slots: vec![],
            free: vec![],
        }
    }
}

impl<T> TokenTable<T> {
    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds a value and names it.
    pub(crate) fn insert(&mut self, value: T) -> Token {
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        let slot = &mut self.slots[index as usize];
        slot.value = Some(Box::new(value));
        token(slot.generation, index)
    }

    fn grow(&mut self) -> u32 {
        let index = u32::try_from(self.slots.len()).expect("descriptors are 31 bits wide");
        self.slots.push(Holder {
            generation: 0,
            value: None,
        });
        index
    }

    /// The value that `token` names, unless it is gone.
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let slot = self.slots.get_mut(index_of(token))?;
        if slot.generation != generation_of(token) {
            return None;
        }
        slot.value.as_deref_mut()
    }

    /// Takes the value that `token` names out.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Box<T>> {
        let slot = self.slots.get_mut(index_of(token))?;
        if slot.generation != generation_of(token) {
            return None;
        }
        let value = slot.value.take()?;
        // The all-ones generation would let the last slot's token collide with WAKE.
        slot.generation = (slot.generation + 1) % u32::MAX;
        self.free.push(token.0 as u32);
        Some(value)
    }

    /// All values with their tokens.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        let numbered = (0u32..).zip(&self.slots);
        numbered.filter_map(|(index, slot)| {
            let value = slot.value.as_deref()?;
            Some((token(slot.generation, index), value))
        })
    }

    /// The tokens of all values.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.iter().map(|(token, _)| token).collect()
    }
}

fn token(generation: u32, index: u32) -> Token {
    let token = Token((generation as usize) << 32 | index as usize);
    debug_assert_ne!(token, WAKE);
    token
}

fn index_of(token: Token) -> usize {
    token.0 & u32::MAX as usize
}

fn generation_of(token: Token) -> u32 {
    (token.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_token_does_not_reach_the_slots_next_user() {
        let mut table = TokenTable::default();
        let first = table.insert("first");
        assert_eq!(table.remove(first).as_deref(), Some(&"first"));
        let second = table.insert("second");
        assert_eq!(index_of(first), index_of(second));
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get_mut(second), Some(&mut "second"));
    }

    #[test]
    fn the_length_and_the_tokens_follow_what_is_there() {
        let mut table = TokenTable::default();
        let tokens: Vec<_> = (0..5).map(|n| table.insert(n)).collect();
        table.remove(tokens[1]);
        table.remove(tokens[3]);
        assert_eq!(table.len(), 3);
        assert_eq!(table.tokens(), [tokens[0], tokens[2], tokens[4]]);
        assert_eq!(table.get_mut(WAKE), None);
    }
}
