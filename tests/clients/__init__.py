"""Clients that nobody here wrote: Supabase's for JavaScript and Python as the app, Mosquitto's as devices."""
