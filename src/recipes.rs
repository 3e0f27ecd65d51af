//! What a cache is asked for most, as conversations that can be typed.
#![doc = include_str!("recipes.md")]
