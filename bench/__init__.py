"""Benchmarks: Topicbase beside what people would use instead, as ratios of alternating runs on one machine."""
