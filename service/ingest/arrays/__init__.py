"""Reads images and labels from files of arrays: IDX, npy and npz."""
