//! Tables of pods and what the engine is asked for.
