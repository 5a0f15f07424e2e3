"""Decisions: observations in, verdict and next step out. Pure; `now` is always an argument.

Intervals are judged on a monotonic clock (`float` seconds, meaningless outside the process); what is stored carries
aware datetimes.
"""
