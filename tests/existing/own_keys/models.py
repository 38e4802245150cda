from django.db import models


class PartnerKey(models.Model):
    text = models.CharField(max_length=40, unique=True)
    partner = models.CharField(max_length=40)


class Note(models.Model):
    partner = models.CharField(max_length=40)
    text = models.TextField()
