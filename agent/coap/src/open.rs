//! What belongs to the requests that are open now: few, growing keys, mostly gone at once. A sorted
//! vector needs no allocation per request, unlike a tree that is empty most of the time.

use crate::udp::RequestKey;

#[derive(Debug)]
pub(crate) struct Open<T> {
    items: Vec<(RequestKey, T)>,
}

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> Open<T> {
    /// `key` is larger than all before.
    pub(crate) fn push(&mut self, key: RequestKey, item: T) {
        self.items.push((key, item));
    }

    pub(crate) fn item(&mut self, key: RequestKey) -> Option<&mut T> {
        let index = self.index(key)?;
        Some(&mut self.items[index].1)
    }

    pub(crate) fn remove(&mut self, key: RequestKey) -> Option<T> {
        let index = self.index(key)?;
        Some(self.items.remove(index).1)
    }

    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestKey, &T)> {
        self.items.iter().map(|(key, item)| (*key, item))
    }

    /// Drops the first item if it `is_over`; its key.
    pub(crate) fn pop_first_if(&mut self, is_over: impl FnOnce(&T) -> bool) -> Option<RequestKey> {
        let (key, item) = self.items.first()?;
        let key = is_over(item).then_some(*key)?;
        self.items.remove(0);
        Some(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    fn index(&self, key: RequestKey) -> Option<usize> {
        self.items.binary_search_by_key(&key, |(key, _)| *key).ok()
    }
}
