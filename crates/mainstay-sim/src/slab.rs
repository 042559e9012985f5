//! Things that come and go, in memory that stays.
//!
//! A key says which place and how many have lived there before, so that news of one that left is never taken for news of
//! the one that came. The place used last is used next: few are warm and the rest is not touched.

/// Names one of a [`Slab`]'s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) place: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// Names nothing.
    pub(crate) const NONE: Self = Self { place: u32::MAX, generation: 0 };
}

/// Things by their key.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Keeps a thing.
    pub(crate) fn insert(&mut self, thing: T) -> Key {
        match self.free.pop() {
            Some(place) => {
                let (generation, vacant) = &mut self.places[place as usize];
                *vacant = Some(thing);
                Key { place, generation: *generation }
            }
            None => {
                self.places.push((0, Some(thing)));
                Key { place: self.places.len() as u32 - 1, generation: 0 }
            }
        }
    }

    /// Gives a thing back.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, thing) = self.places.get_mut(key.place as usize)?;
        if *generation != key.generation {
            return None;
        }
        let thing = thing.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.place);
        Some(thing)
    }

    /// As [`Slab::remove`], for one that nobody looks at any more: it is dropped where it lies.
    pub(crate) fn discard(&mut self, key: Key) {
        let Some((generation, thing)) = self.places.get_mut(key.place as usize) else { return };
        if *generation == key.generation && thing.is_some() {
            *thing = None;
            *generation = generation.wrapping_add(1);
            self.free.push(key.place);
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let (generation, thing) = self.places.get(key.place as usize)?;
        thing.as_ref().filter(|_| *generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, thing) = self.places.get_mut(key.place as usize)?;
        thing.as_mut().filter(|_| *generation == key.generation)
    }

    /// What lives at a place now, whoever lived there before.
    pub(crate) fn at(&self, place: u32) -> Option<Key> {
        let (generation, thing) = self.places.get(place as usize)?;
        thing.as_ref().map(|_| Key { place, generation: *generation })
    }

    /// All of them, by their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.places.iter().enumerate().filter_map(|(place, (generation, thing))| {
            thing.as_ref().map(|thing| (Key { place: place as u32, generation: *generation }, thing))
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_one_that_left_names_nobody() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a), Some('a'));
        let c = slab.insert('c');
        assert_eq!((c.place, slab.len()), (a.place, 2));
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (None, Some(&'b'), Some(&'c')));
        assert_eq!((slab.remove(a), slab.get(Key::NONE)), (None, None));
        assert_eq!(slab.iter().map(|(_, thing)| *thing).collect::<String>(), "cb");
    }
}
