//! Roads not taken, each with its numbers and with what would change our mind.
//!
//! [store/evict]: ../store/evict/index.html
//! [store/slab/arena]: ../store/slab/arena/index.html
//! [store/slab/geometry]: ../store/slab/geometry/index.html
//! [store/slab/ring]: ../store/slab/ring/index.html
//! [store/slab/segment]: ../store/slab/segment/index.html
//! [store/stripe]: ../store/stripe/index.html
//! [store/stripe/marks]: ../store/stripe/marks/index.html
#![doc = include_str!("refused.md")]
