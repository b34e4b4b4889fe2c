export const licenses = {
  title: 'Licences',
};
